package activity_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/local/server/servertest"
	"diecast/internal/surroundings"
	"diecast/test/contracts"
)

// pythonNormalise is the trainer's normalisation, by Python itself.
func pythonNormalise(t *testing.T, texts []string) []string {
	t.Helper()
	servertest.Needed(t, "Python")
	input, err := json.Marshal(texts)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), contracts.Python(t), "-c",
		"import json, sys; json.dump([text.strip().casefold() for text in json.load(sys.stdin)], sys.stdout)")
	command.Stdin, command.Env = bytes.NewReader(input), surroundings.List(surroundings.Bare(t.TempDir()))
	output, err := command.Output()
	require.NoError(t, err)
	var normalised []string
	require.NoError(t, json.Unmarshal(output, &normalised))
	require.Len(t, normalised, len(texts))
	return normalised
}

func TestNormaliseAgreesWithPythonOnPlaces(t *testing.T) {
	texts := []string{"", " ", "Norway  ", "\tNEW YORK\r\n", "São Paulo", "SÃO PAULO", "Århus", "A\u030Arhus", "Straße",
		"STRASSE",
		"STRAẞE", "\u00a0Lyon\u00a0", "\u2003Lyon\u3000", "\u001cLyon\u001f", "\u0085Lyon", "\u200bLyon", "\ufeffLyon",
		"İstanbul",
		"ISTANBUL", "ıstanbul", "ΣΊΣΥΦΟΣ", "σίσυφος", "ŐSZ", "ﬁn", "Ǆ", "ᏣᎳᎩ", "ꮳꮃꭹ", "МОСКВА", "東京",
		"Kansas\u2028City"}
	for i, want := range pythonNormalise(t, texts) {
		assert.Equal(t, want, activity.Normalise(texts[i]), "%q", texts[i])
	}
}

func TestNormaliseAgreesWithPythonOnEveryCharacter(t *testing.T) {
	var texts []string
	// No letter and no white space lies in the planes above 1 (ideographs, tags, private use).
	for character := rune(0); character <= 0x1FFFF; character++ {
		if character >= 0xD800 && character <= 0xDFFF { // surrogates are no characters
			continue
		}
		texts = append(texts, "a"+string(character)+"Z", string(character)+"a"+string(character))
	}
	different := 0
	for i, want := range pythonNormalise(t, texts) {
		if got := activity.Normalise(texts[i]); got != want {
			different++
			t.Logf("%q: Go %q, Python %q", texts[i], got, want)
		}
	}
	assert.Zero(t, different)
}

func TestFeaturesAreNormalisedAndRecordsKeepTheOriginal(t *testing.T) {
	event, err := activity.Decode([]byte(course))
	require.NoError(t, err)
	assert.Equal(t, "nantes", event.Features().City)
	assert.Equal(t, "Nantes ", event.City)
	assert.Contains(t, string(event.Encode()), `"city":"Nantes "`)
}

func TestProducts(t *testing.T) {
	entry := func(code string, inCart bool) activity.Browse {
		return activity.Browse{ProductCode: code, InShoppingCart: inCart}
	}
	var many []activity.Browse
	for i := range 30 {
		many = append(many, entry(string(rune('a'+i)), false))
	}
	for name, test := range map[string]struct {
		history []activity.Browse
		cart    []string
		browsed []string
		first   string
		count   int
	}{
		"nothing": {},
		"the cart comes first": {[]activity.Browse{entry("B", false), entry("A", true)}, []string{"A"},
			[]string{"B"}, "A", 2},
		"each product once": {[]activity.Browse{entry("A", true), entry("A", true), entry("B", false),
			entry("B", false)}, []string{"A"}, []string{"B"}, "A", 2},
		"in the cart and browsed is in cart": {[]activity.Browse{entry("A", false), entry("A", true)}, []string{"A"},
			nil, "A", 1},
	} {
		t.Run(name, func(t *testing.T) {
			event := activity.Event{BrowseHistory: test.history}
			assert.Equal(t, test.cart, event.Cart())
			assert.Equal(t, test.browsed, event.Browsed())
			products := event.Products()
			require.Len(t, products, test.count)
			if test.count > 0 {
				assert.Equal(t, test.first, products[0])
			}
		})
	}
	event := activity.Event{BrowseHistory: append(many, entry("Z", true))}
	assert.Len(t, event.Products(), activity.MaxProducts)
	assert.Equal(t, "Z", event.Products()[0])
}
