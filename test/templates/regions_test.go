package templates

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/config"
	"diecast/constructs/gobuild"
	"diecast/internal/awsdb/certificates"
	declared "diecast/internal/deployment/outputs"
	"diecast/internal/regions"
)

// further is a bundle of certificate authorities as a user names one: RDS's own, which is there.
const further = "databases.certificateAuthorities=../../internal/awsdb/certificates/rds.pem"

// elsewhere is a platform in a region that opened lately.
var elsewhere = []string{"profile=lean", further, "inference.url=false"}

// admits says which regions a template's rules admit, and what they tell of another.
func admits(t *testing.T, stack template, region string) (refusals []string) {
	t.Helper()
	rules, _ := stack.raw["Rules"].(map[string]any)
	for name, one := range rules {
		if name == "CheckBootstrapVersion" {
			continue
		}
		rule := one.(map[string]any)
		assert.NotContains(t, rule, "RuleCondition", "it must always hold")
		for _, each := range rule["Assertions"].([]any) {
			assertion := each.(map[string]any)
			contains := assertion["Assert"].(map[string]any)["Fn::Contains"].([]any)
			require.Equal(t, map[string]any{"Ref": "AWS::Region"}, contains[1])
			found := false
			for _, admitted := range contains[0].([]any) {
				found = found || admitted == region
			}
			if !found {
				refusals = append(refusals, assertion["AssertDescription"].(string))
			}
		}
	}
	return refusals
}

// TestNetwork_refusesRegionsBeforeAnythingIsCreated: it is the first stack, and CloudFormation
// holds a template to its rules before it creates anything.
func TestNetwork_refusesRegionsBeforeAnythingIsCreated(t *testing.T) {
	for _, profile := range profiles {
		built := synth(t, "profile="+profile)
		for stack, others := range built.dependencies {
			if stack == "Network" {
				assert.Empty(t, others)
			} else {
				assert.NotEmpty(t, others, "%s may be deployed before Network has refused", stack)
			}
		}
		network := built.templates["Network"]
		assert.Empty(t, admits(t, network, "us-east-1"))
		for region, words := range map[string][]string{
			"eu-south-2":    {"inference.url=false"},
			"mx-central-1":  {"databases.certificateAuthorities", "inference.url=false"},
			"il-central-1":  {"databases.certificateAuthorities", "inference.url=false"},
			"us-gov-west-1": {"databases.certificateAuthorities", "inference.url=false", "vectors.instanceClass="},
		} {
			refusals := admits(t, network, region)
			assert.Len(t, refusals, len(words), region)
			for _, word := range words {
				assert.Contains(t, strings.Join(refusals, "\n"), word, region)
			}
		}
	}
	assert.Empty(t, admits(t, synth(t, "profile=lean", "inference.url=false").templates["Network"], "eu-south-2"))
	assert.Empty(t, admits(t, synth(t, "profile=lean").templates["Network"], "eu-south-1"))
	refusals := admits(t, synth(t, "profile=prod").templates["Network"], "eu-south-1")
	require.Len(t, refusals, 1)
	assert.Contains(t, refusals[0], "vectors.instanceClass=db.m7g.large and source.instanceClass=db.m7g.large")
}

// TestRegions_haveFunctionURLsWhereCloudFormationHasThem, by cfn-lint's copy of each region's
// registry. It has none of some regions; and Lambda's guide names one region as without that has
// the type: there, the guide is believed, for an address that is left out harms nobody.
func TestRegions_haveFunctionURLsWhereCloudFormationHasThem(t *testing.T) {
	compared := map[bool]int{}
	var withheld []string
	for _, region := range regions.Commercial {
		registry, err := os.ReadFile(filepath.Join(cfnlintSchemas(t), "providers", region.Code+".json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		var types map[string]any
		require.NoError(t, json.Unmarshal(registry, &types))
		require.Contains(t, types, "AWS::Lambda::Function", region.Code)
		_, has := types["AWS::Lambda::Url"]
		compared[has]++
		if has && !region.FunctionURLs {
			withheld = append(withheld, region.Code)
			continue
		}
		assert.Equal(t, has, region.FunctionURLs, region.Code)
	}
	assert.Equal(t, []string{"eu-south-2"}, withheld)
	assert.Greater(t, compared[true], 15, "the registries are read as they are meant")
	assert.Greater(t, compared[false], 5)
}

// TestRegions_haveTheDatabaseClassesThatRDSHas, by cfn-lint's lists, for every class that can be
// set.
func TestRegions_haveTheDatabaseClassesThatRDSHas(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(cfnlintSchemas(t), "extensions", "aws_rds_dbinstance",
		"dbinstanceclass_enum.json"))
	require.NoError(t, err)
	var lists map[string]struct {
		AllOf []struct {
			If struct {
				Properties struct{ Engine struct{ Const string } }
			}
			Then struct {
				Properties struct{ DBInstanceClass struct{ Enum []string } }
			}
		}
	}
	require.NoError(t, json.Unmarshal(data, &lists))
	for _, region := range regions.Commercial {
		listed, ok := lists[region.Code]
		if !ok {
			continue
		}
		has := map[string][]string{} // one list for each licence of an engine
		for _, rule := range listed.AllOf {
			engine := rule.If.Properties.Engine.Const
			has[engine] = slices.Concat(has[engine], rule.Then.Properties.DBInstanceClass.Enum)
		}
		for _, engine := range []string{"postgres", "mysql"} {
			for _, class := range config.InstanceClasses() {
				assert.Equal(t, slices.Contains(has[engine], class), region.HasDatabase(class),
					"%s for %s in %s", class, engine, region.Code)
			}
		}
	}
	assert.Greater(t, len(lists), 30, "the lists are read as they are meant")
}

func TestInference_hasNoAddressWhereItIsOff(t *testing.T) {
	streaming := synth(t, elsewhere...).templates["Streaming"]
	for id, r := range streaming.Resources {
		assert.NotEqual(t, "AWS::Lambda::Url", r.Type, id)
	}
	assert.NotContains(t, streaming.Outputs, declared.InferenceURL.Name)
	assert.Contains(t, synth(t, "profile=lean").templates["Streaming"].Outputs, declared.InferenceURL.Name)
}

// TestAuthorities_lieBesideWhateverSpeaksToADatabase, and beside nothing else.
func TestAuthorities_lieBesideWhateverSpeaksToADatabase(t *testing.T) {
	built := synth(t, elsewhere...)
	speaks := map[string]bool{"lambda/vectorloader": true, "lambda/inference": true, "lambda/sourceloader": true}
	for id, r := range built.all {
		source, _ := r.Metadata["diecast:source"].(string)
		if r.Type != "AWS::Lambda::Function" || source == "" {
			continue
		}
		environment, _ := r.Properties["Environment"].(map[string]any)
		variables, _ := environment["Variables"].(map[string]any)
		if speaks[source] {
			assert.Equal(t, "/var/task/authorities.pem", variables["DATABASE_CA_FILE"], id)
			delete(speaks, source)
		} else {
			assert.NotContains(t, variables, "DATABASE_CA_FILE", id)
		}
	}
	assert.Empty(t, speaks)

	bundle := string(certificates.With(certificates.RDS))
	job := one(t, built.templates["Batch"], "AWS::Glue::Job").Properties["DefaultArguments"].(map[string]any)
	assert.Equal(t, bundle, uploadedFile(t, built, rendered(job["--source-ca"])))
	script := bootScript(t, built.templates["Web"])
	assert.Contains(t, script, `DATABASE_CA_FILE="/etc/web/authorities.pem"`)
	fetched, _, _ := strings.Cut(script[strings.Index(script, `fetch "/etc/web/authorities.pem"`):], "\n")
	assert.Equal(t, bundle, uploadedFile(t, built, fetched))

	for id, r := range synth(t, "profile=lean").all {
		assert.NotContains(t, string(compact(r.Properties)), "DATABASE_CA_FILE", id)
	}
}

// uploadedFile is what the assembly uploads as the PEM file that a text names by its hash.
func uploadedFile(t *testing.T, built assembly, text string) string {
	t.Helper()
	_, key, found := strings.Cut(text, "assets-")
	require.True(t, found, text)
	hash, _, found := strings.Cut(key[strings.Index(key, "/")+1:], ".pem")
	require.True(t, found, text)
	content, err := os.ReadFile(filepath.Join(built.dir, "asset."+hash+".pem"))
	require.NoError(t, err)
	return string(content)
}

// TestBundler_laysFilesBesideTheExecutable, which stays the same to the byte.
func TestBundler_laysFilesBesideTheExecutable(t *testing.T) {
	folder := t.TempDir()
	target := gobuild.Target{Packages: "./lambda/transform", Architecture: "arm64"}
	bundler := func() *gobuild.Bundler { return gobuild.NewBundler(target, "transform", "bootstrap") }
	bare, with := bundler(), bundler()
	with.LayBeside(map[string][]byte{"authorities.pem": []byte("PEM")})
	with.TryBundle(&folder, nil)
	require.NoError(t, with.Err())
	content, err := os.ReadFile(filepath.Join(folder, "authorities.pem"))
	require.NoError(t, err)
	assert.Equal(t, "PEM", string(content))
	other := t.TempDir()
	bare.TryBundle(&other, nil)
	require.NoError(t, bare.Err())
	assert.Equal(t, bare.SHA256(), with.SHA256())
	assert.NoFileExists(t, filepath.Join(other, "authorities.pem"))
}

// TestApp_tellsWhatARegionLacks: on stderr, and goes on, for the laptop runs under any region.
func TestApp_tellsWhatARegionLacks(t *testing.T) {
	binary := buildApp(t)
	for region, want := range map[string]string{
		"il-central-1": "diecast: CloudFormation will refuse to deploy to il-central-1: Lambda has no function URLs",
		"us-east-1":    "",
	} {
		settings := cdkContext(t)
		settings["aws:cdk:bundling-stacks"] = []string{}
		context, err := json.Marshal(settings)
		require.NoError(t, err)
		app := exec.Command(binary)
		app.Env = append(os.Environ(), "CDK_CONTEXT_JSON="+string(context), "CDK_OUTDIR="+t.TempDir(),
			"CDK_DEFAULT_REGION="+region)
		var stderr strings.Builder
		app.Stderr = &stderr
		require.NoError(t, app.Run(), "%s", &stderr)
		if want == "" {
			assert.NotContains(t, stderr.String(), "CloudFormation will refuse")
		} else {
			assert.Contains(t, stderr.String(), want)
		}
	}
}
