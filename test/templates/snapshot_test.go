package templates

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/accept"
	"diecast/test/templates/snapshots"
)

// TestSnapshots compares every template of every profile, whole, with the one
// that was reviewed. `make accept` writes them anew and prints what changed.
func TestSnapshots(t *testing.T) {
	whole := raw(synth(t, "profile="+snapshots.Whole))
	for _, profile := range profiles {
		built := raw(synth(t, "profile="+profile))
		// A profile that is new has none.
		reviewed, err := snapshots.Read(profile)
		if !accept.Updating(t) {
			require.NoError(t, err)
		}
		files, err := snapshots.Encode(profile, built, whole)
		require.NoError(t, err)
		folder := filepath.Join("snapshots", profile)
		for _, name := range slices.Sorted(maps.Keys(files)) {
			t.Run(profile+"/"+name, func(t *testing.T) {
				stack, _, _ := strings.Cut(name, ".")
				changes := snapshots.Diff(reviewed[stack], built[stack])
				if accept.Updating(t) && changes != "" {
					fmt.Printf("%s/%s\n%s", profile, stack, changes)
				}
				if !accept.Updating(t) && changes != "" {
					t.Errorf("%s is not the template that was reviewed; `make accept` accepts this:\n%s", stack,
						changes)
					return
				}
				accept.File(t, filepath.Join(folder, name), files[name])
			})
		}
		t.Run(profile+"/no file too many", func(t *testing.T) {
			entries, err := os.ReadDir(folder)
			require.NoError(t, err)
			for _, entry := range entries {
				if _, written := files[entry.Name()]; written {
					continue
				}
				file := filepath.Join(folder, entry.Name())
				if accept.Updating(t) {
					require.NoError(t, os.Remove(file))
					continue
				}
				t.Errorf("%s is of no stack; `make accept` removes it", file)
			}
		})
	}
}

// What is kept of a profile is its difference from lean: with lean it must be the
// whole template again, for every pair of real templates.
func TestSnapshots_differencesMakeWholeTemplates(t *testing.T) {
	for _, from := range profiles {
		for _, to := range profiles {
			before, after := raw(synth(t, "profile="+from)), raw(synth(t, "profile="+to))
			for stack, template := range after {
				made, err := snapshots.Apply(before[stack], snapshots.Diff(before[stack], template))
				require.NoError(t, err, "%s to %s, %s", from, to, stack)
				assert.Equal(t, template, made, "%s to %s, %s", from, to, stack)
			}
		}
	}
}

// raw are an assembly's templates as plain JSON.
func raw(a assembly) map[string]map[string]any {
	templates := map[string]map[string]any{}
	for stack, one := range a.templates {
		templates[stack] = one.raw
	}
	return templates
}

func compact(value any) []byte {
	data, err := json.Marshal(value)
	if err != nil {
		return []byte(err.Error())
	}
	return data
}
