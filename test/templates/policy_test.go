package templates

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
)

// variants are configurations beside the profiles that change what is built.
var variants = [][]string{
	{"profile=lean", "network.nat=instance"},
	{"profile=lean", "network.sessionManager=true", "network.endpointPerZone=true"},
	{"profile=lean", "data.removal=destroy", "data.destroy=true"},
	dumped,
	{"profile=lean", "streaming.mode=on-demand", "capacity.accountConcurrency=1000", "alarms.email=someone@example.com",
		"data.accessLogs=true"},
}

func everyConfiguration() [][]string {
	all := variants
	for _, profile := range profiles {
		all = append(all, []string{"profile=" + profile})
	}
	return all
}

func TestNag_noUnexplainedFinding(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			assert.Empty(t, synth(t, settings...).findings)
		})
	}
}

// acceptedFindings is how many findings each profile explains away, so that one
// more is a decision that a reviewer sees.
var acceptedFindings = map[string]int{"lean": 39, "standard": 35, "prod": 31, "course": 39}

func TestNag_acceptedFindingsAreCountedAndExplained(t *testing.T) {
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			count := 0
			for id, r := range synth(t, "profile="+profile).all {
				for _, accepted := range acceptedIn(t, r) {
					count++
					assert.Greater(t, len(accepted.Reason), 40, "%s: %s needs a reason that convinces a stranger", id,
						accepted.ID)
					if accepted.ID == "AwsSolutions-IAM4" || accepted.ID == "AwsSolutions-IAM5" {
						assert.NotEmpty(t, accepted.AppliesTo, "%s: %s must name what it applies to", id, accepted.ID)
					}
				}
			}
			assert.Equal(t, acceptedFindings[profile], count)
		})
	}
}

type accepted struct {
	ID        string
	Reason    string
	AppliesTo []any `json:"applies_to"`
}

func acceptedIn(t *testing.T, r resource) []accepted {
	t.Helper()
	nag, ok := r.Metadata["cdk_nag"]
	if !ok {
		return nil
	}
	var rules struct {
		Suppress []accepted `json:"rules_to_suppress"`
	}
	require.NoError(t, json.Unmarshal(compact(nag), &rules))
	return rules.Suppress
}

// lintIgnored are cfn-lint's rules that fire on what CDK writes on purpose: a
// DependsOn that a Ref already implies, and the one mapping that a template may
// not use.
const lintIgnored = "W3005,W7001"

func TestCfnLint_noFinding(t *testing.T) {
	for _, settings := range everyConfiguration() {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(synth(t, settings...).dir, "*.template.json"))
			require.NoError(t, err)
			output, err := cfnLint(files...)
			assert.NoError(t, err, "%s", output)
		})
	}
}

func TestCfnLint_findingIsCaught(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken.template.json")
	require.NoError(t, os.WriteFile(file,
		[]byte(`{"Resources":{"Queue":{"Type":"AWS::SQS::Queue","Properties":{"DelaySecond":1}}}}`), 0o600))
	output, err := cfnLint(file)
	assert.Error(t, err)
	assert.Contains(t, string(output), "DelaySecond")
}

func cfnLint(files ...string) ([]byte, error) {
	python, err := installed.Python()
	if err != nil {
		return nil, err
	}
	arguments := append([]string{"--ignore-checks", lintIgnored, "--"}, files...)
	return exec.Command(filepath.Join(filepath.Dir(python), "cfn-lint"), arguments...).CombinedOutput()
}
