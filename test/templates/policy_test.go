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
	"diecast/internal/surroundings"
)

// variants are configurations beside the profiles that change what is built.
var variants = [][]string{
	{"profile=lean", "network.nat=instance"},
	{"profile=lean", "network.sessionManager=true", "network.endpointPerZone=true"},
	{"profile=lean", "data.removal=destroy", "data.destroy=true"},
	dumped,
	{"profile=lean", "streaming.mode=on-demand", "capacity.accountConcurrency=1000", "alarms.email=someone@example.com",
		"data.accessLogs=true"},
	openToAll, certified, loggedIn, byToken, shopping, spot, elsewhere,
}

// Variants of the web tier.
var (
	// openToAll writes out that the world is admitted.
	openToAll = []string{"profile=lean", "web.allowedCidrs=0.0.0.0/0"}
	// certified speaks HTTPS, on the other architecture, behind WAF.
	certified = []string{"profile=lean", "web.allowedCidrs=198.51.100.0/24,203.0.113.7/32", aCertificate,
		"web.instanceType=t3.nano", "web.waf=true", "data.accessLogs=true"}
	// loggedIn is open to everybody who logs in, behind WAF.
	loggedIn = []string{"profile=standard", "web.allowedCidrs=0.0.0.0/1,128.0.0.0/1", aCertificate,
		"web.oidc.issuer=https://id.example.com", "web.oidc.authorizationEndpoint=https://id.example.com/authorize",
		"web.oidc.tokenEndpoint=https://id.example.com/token", "web.oidc.userInfoEndpoint=https://id.example.com/user",
		"web.oidc.clientId=diecast", "web.oidc.clientSecretName=diecast/oidc", "web.waf=true",
		"web.frameAncestors=https://intranet.example.com https://*.example.org"}
	// byToken is open to everybody, and its API to who bears a token, behind WAF.
	byToken = append([]string{"profile=lean", "web.allowedCidrs=0.0.0.0/0", aCertificate, "web.waf=true",
		"web.shopOrigins=https://shop.example.com"}, aToken...)
	// shopping shows a shop to an office.
	shopping = []string{"profile=standard", "web.allowedCidrs=198.51.100.0/24", "web.shop=true"}
	spot     = []string{"profile=lean", "web.spotAboveMinimum=true"}
)

// aToken is all that a balancer asks of a token.
var aToken = []string{"web.jwt.issuer=https://id.example.com/", "web.jwt.jwksEndpoint=https://id.example.com/keys",
	"web.jwt.audience=api://diecast"}

const aCertificate = "web.certificateArn=arn:aws:acm:us-east-1:111122223333:certificate/" +
	"12345678-1234-1234-1234-123456789012"

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
			built := synth(t, settings...)
			assert.True(t, built.inspected)
			assert.Empty(t, built.findings)
		})
	}
}

// acceptedFindings is how many findings each profile explains away, so that one
// more is a decision that a reviewer sees.
var acceptedFindings = map[string]int{"lean": 56, "standard": 51, "prod": 47, "course": 56}

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

// lintIncluded are cfn-lint's informational rules that hold here, too: that a policy's statement
// names resources that its actions work on, without which it allows nothing.
const lintIncluded = "I3510"

func TestCfnLint_noFinding(t *testing.T) {
	looked := map[string]bool{} // most configurations differ in one stack from another
	var files, named []string
	for _, settings := range everyConfiguration() {
		folder := synth(t, settings...).dir
		// A finding tells the file that it is in: here, of which configuration.
		named = append(named, folder, "["+strings.Join(settings, " ")+"]")
		found, err := filepath.Glob(filepath.Join(folder, "*.template.json"))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		for _, file := range found {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			if !looked[string(content)] {
				files = append(files, file)
			}
			looked[string(content)] = true
		}
	}
	output, err := cfnLint(files...) // once: it reads its schemas at every start
	assert.NoError(t, err, "%s", strings.NewReplacer(named...).Replace(string(output)))
}

func TestCfnLint_findingIsCaught(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken.template.json")
	require.NoError(t, os.WriteFile(file,
		[]byte(`{"Resources":{"Queue":{"Type":"AWS::SQS::Queue","Properties":{"DelaySecond":1}}}}`), 0o600))
	output, err := cfnLint(file)
	assert.Error(t, err)
	assert.Contains(t, string(output), "DelaySecond")
}

func TestCfnLint_statementThatAllowsNothingIsCaught(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broken.template.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"Resources":{"Policy":{"Type":"AWS::IAM::ManagedPolicy",`+
		`"Properties":{"PolicyDocument":{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+
		`"Action":"s3:GetObject","Resource":"arn:aws:sns:us-east-1:111122223333:topic"}]}}}}}`), 0o600))
	output, err := cfnLint(file)
	assert.Error(t, err)
	assert.Contains(t, string(output), "I3510")
}

func cfnLint(files ...string) ([]byte, error) {
	python, err := installed.Python()
	if err != nil {
		return nil, err
	}
	arguments := append([]string{"--ignore-checks", lintIgnored, "--include-checks", lintIncluded, "--"}, files...)
	command := exec.Command(filepath.Join(filepath.Dir(python), "cfn-lint"), arguments...)
	command.Env = surroundings.List(surroundings.Bare(outputs))
	return command.CombinedOutput()
}
