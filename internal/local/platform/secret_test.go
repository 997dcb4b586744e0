package platform

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/assembly"
)

func TestGenerateSecret(t *testing.T) {
	const many = 200
	t.Run("keeps to the characters that are left", func(t *testing.T) {
		for range many {
			password, err := generateSecret(&assembly.Secret{Length: 24, WithoutPunctuation: true, WithoutUppercase: true, Without: "abc012"})
			require.NoError(t, err)
			assert.Len(t, password, 24)
			assert.Empty(t, strings.Trim(password, "defghijklmnopqrstuvwxyz3456789"))
		}
	})
	t.Run("has one of each kind where that is asked for", func(t *testing.T) {
		for range many {
			password, err := generateSecret(&assembly.Secret{Length: 5, EachKind: true, WithSpace: true})
			require.NoError(t, err)
			for _, kind := range []string{lowercase, uppercase, digits, punctuation, " "} {
				assert.True(t, strings.ContainsAny(password, kind), "%q has none of %q", password, kind)
			}
		}
	})
	t.Run("is put into the template under its key", func(t *testing.T) {
		text, err := generateSecret(&assembly.Secret{Length: 12, Template: `{"username":"glue"}`, Key: "password"})
		require.NoError(t, err)
		var value map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &value))
		assert.Equal(t, "glue", value["username"])
		assert.Len(t, value["password"], 12)
	})
	t.Run("differs from the last one", func(t *testing.T) {
		one, err := generateSecret(&assembly.Secret{Length: 32})
		require.NoError(t, err)
		other, err := generateSecret(&assembly.Secret{Length: 32})
		require.NoError(t, err)
		assert.NotEqual(t, one, other)
	})
	for name, impossible := range map[string]assembly.Secret{
		"no length":          {},
		"no character left":  {Length: 8, WithoutDigits: true, WithoutLowercase: true, WithoutPunctuation: true, WithoutUppercase: true},
		"too short for each": {Length: 3, EachKind: true},
		"no template":        {Length: 8, Key: "password", Template: "{"},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := generateSecret(&impossible)
			assert.Error(t, err)
		})
	}
}

func TestPhysicalName(t *testing.T) {
	resource := &assembly.Resource{Stack: &assembly.Stack{Name: "diecast-Streaming"}, LogicalID: "Events1234"}
	assert.Equal(t, "mine", physicalName(resource, "mine"), "the template's name rules")
	made := physicalName(resource, "")
	assert.True(t, strings.HasPrefix(made, "diecast-Streaming-Events1234-"), made)
	assert.NotEqual(t, made, physicalName(resource, ""), "two runs must not meet")
}
