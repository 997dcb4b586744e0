package password

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const many = 200

func TestGenerate_keepsToTheCharactersThatAreLeft(t *testing.T) {
	for range many {
		password, err := Generate(Options{
			Length: 24, WithoutPunctuation: true, WithoutUppercase: true, Without: "abc012",
		})
		require.NoError(t, err)
		assert.Len(t, password, 24)
		assert.Empty(t, strings.Trim(password, "defghijklmnopqrstuvwxyz3456789"))
	}
}

func TestGenerate_hasOneOfEachKindWhereThatIsAskedFor(t *testing.T) {
	first := map[byte]bool{}
	for range many {
		password, err := Generate(Options{Length: 5, EachKind: true, WithSpace: true})
		require.NoError(t, err)
		for _, kind := range []string{lowercase, uppercase, digits, punctuation, " "} {
			assert.True(t, strings.ContainsAny(password, kind), "%q has none of %q", password, kind)
		}
		first[password[0]] = true
	}
	assert.Greater(t, len(first), len(lowercase), "the kinds stand in no fixed order")
}

func TestGenerate_usesEveryCharacterThatIsLeft(t *testing.T) {
	password, err := Generate(Options{Length: 4096, WithoutPunctuation: true})
	require.NoError(t, err)
	for _, character := range lowercase + uppercase + digits {
		assert.Contains(t, password, string(character))
	}
}

func TestGenerate_differsFromTheLastOne(t *testing.T) {
	one, err := Generate(Options{Length: 32})
	require.NoError(t, err)
	other, err := Generate(Options{Length: 32})
	require.NoError(t, err)
	assert.NotEqual(t, one, other)
}

func TestGenerate_refuses(t *testing.T) {
	for name, impossible := range map[string]Options{
		"no length": {},
		"no character left": {
			Length: 8, WithoutDigits: true, WithoutLowercase: true, WithoutPunctuation: true, WithoutUppercase: true,
		},
		"too short for each": {Length: 3, EachKind: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Generate(impossible)
			assert.ErrorContains(t, err, "cannot be made")
		})
	}
	for name, possible := range map[string]Options{
		"one character": {Length: 1}, "one of each": {Length: 4, EachKind: true},
		"and more": {Length: 9, EachKind: true},
	} {
		password, err := Generate(possible)
		require.NoError(t, err, name)
		assert.Len(t, password, possible.Length, name)
	}
}
