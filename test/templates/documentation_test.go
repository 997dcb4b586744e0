package templates

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// madeByCDK are the outputs that carry references between stacks.
var madeByCDK = regexp.MustCompile(`^(ExportsOutput|PublishOutput)`)

// TestOutputs_areDocumented compares docs/outputs.md with the templates, both ways.
func TestOutputs_areDocumented(t *testing.T) {
	built := map[string]bool{}
	for _, profile := range profiles {
		for _, one := range synth(t, "profile="+profile).templates {
			for name, out := range one.Outputs {
				if !madeByCDK.MatchString(name) {
					built[fmt.Sprintf("| %s | `%s` | %s |", one.Stack, name, out.Description)] = true
				}
			}
		}
	}
	assert.ElementsMatch(t, slices.Sorted(maps.Keys(built)), rows(t, "../../docs/outputs.md", 3))
}

// TestAlarms_areDocumented compares docs/alarms.md with the templates, both ways.
func TestAlarms_areDocumented(t *testing.T) {
	built := map[string]bool{}
	for _, profile := range profiles {
		for _, one := range synth(t, "profile="+profile).templates {
			for _, r := range one.Resources {
				if r.Type == "AWS::CloudWatch::Alarm" {
					built[fmt.Sprintf("| %s | %s | %s |", one.Stack, strings.Join(metricsOf(r), ", "),
						r.Properties["AlarmDescription"])] = true
				}
			}
		}
	}
	assert.ElementsMatch(t, slices.Sorted(maps.Keys(built)), rows(t, "../../docs/alarms.md", 3))
}

// rows reads a Markdown table's rows of the given number of cells, without its
// head.
func rows(t *testing.T, file string, cells int) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	row := regexp.MustCompile(fmt.Sprintf(`^\|( [^|]+ \|){%d}$`, cells))
	var found []string
	for _, line := range strings.Split(string(data), "\n") {
		if row.MatchString(line) && !strings.Contains(line, "| --- |") {
			found = append(found, line)
		}
	}
	require.NotEmpty(t, found)
	return found[1:]
}
