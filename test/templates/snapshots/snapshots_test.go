package snapshots

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/config"
)

func TestRead_everyProfileIsWholeTemplates(t *testing.T) {
	profiles, err := Profiles()
	require.NoError(t, err)
	assert.ElementsMatch(t, config.Profiles(), profiles)
	whole, err := Read(Whole)
	require.NoError(t, err)
	for _, profile := range profiles {
		templates, err := Read(profile)
		require.NoError(t, err)
		for stack, template := range templates {
			assert.NotEmpty(t, template["Resources"], "%s/%s", profile, stack)
			assert.Contains(t, compact(template), `{"Key":"profile","Value":"`+profile+`"}`)
		}
		// What was read is written as it lies there.
		encoded, err := Encode(profile, templates, whole)
		require.NoError(t, err)
		for name, content := range encoded {
			file, err := files.ReadFile(profile + "/" + name)
			require.NoError(t, err)
			assert.Equal(t, string(file), content, "%s/%s", profile, name)
		}
	}
}

func TestRead_refusals(t *testing.T) {
	_, err := Read("lavish")
	assert.ErrorContains(t, err, "profile lavish")
	for name, test := range map[string]struct{ content, says string }{
		"Network.template.yaml": {"", "neither"},
		"Network.template.json": {"{", "unexpected end"},
		"Network.diff":          {"- Nothing: 1\n", "line 1"},
	} {
		_, _, err := decode(name, []byte(test.content))
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), test.says)
	}
}

func TestRead_aStackOfOneProfileAlone(t *testing.T) {
	template := map[string]any{"Resources": map[string]any{"A": map[string]any{"Type": "T"}}}
	encoded, err := Encode("prod", map[string]map[string]any{"Alone": template}, nil)
	require.NoError(t, err)
	stack, read, err := decode("Alone.diff", []byte(encoded["Alone.diff"]))
	require.NoError(t, err)
	assert.Equal(t, "Alone", stack)
	assert.Equal(t, template, read)
	assert.True(t, strings.HasPrefix(encoded["Alone.diff"], "+ "))
}
