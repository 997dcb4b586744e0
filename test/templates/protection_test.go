package templates

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// protected says which stacks of an assembly CloudFormation refuses to delete.
func protected(t *testing.T, built assembly) map[string]bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(built.dir, "manifest.json"))
	require.NoError(t, err)
	var manifest struct {
		Artifacts map[string]struct {
			Type       string
			Properties struct{ TerminationProtection bool }
		}
	}
	require.NoError(t, json.Unmarshal(data, &manifest))
	found := map[string]bool{}
	for name, artifact := range manifest.Artifacts {
		if artifact.Type == "aws:cloudformation:stack" {
			found[name] = artifact.Properties.TerminationProtection
		}
	}
	return found
}

// TestStacks_areAllProtectedWhereADatabaseIs: RDS would refuse to delete it when other stacks are
// gone already.
func TestStacks_areAllProtectedWhereADatabaseIs(t *testing.T) {
	for _, test := range []struct {
		settings []string
		want     bool
	}{
		{[]string{"profile=lean"}, false},
		{[]string{"profile=standard"}, false},
		{[]string{"profile=course"}, false},
		{[]string{"profile=prod"}, true},
		{[]string{"profile=lean", "source.deletionProtection=true"}, true},
		{[]string{"profile=prod", "vectors.deletionProtection=false", "source.deletionProtection=false"}, false},
	} {
		stacks := protected(t, synth(t, test.settings...))
		assert.Greater(t, len(stacks), 6)
		for stack, is := range stacks {
			assert.Equal(t, test.want, is, "%v: %s", test.settings, stack)
		}
	}
}
