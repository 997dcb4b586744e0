package assembly

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/templates/snapshots"
)

// snapshot makes an assembly of a profile's reviewed templates: a snapshot keeps neither manifest
// nor assets.
func snapshot(t *testing.T, profile string) fstest.MapFS {
	t.Helper()
	templates, err := snapshots.Read(profile)
	require.NoError(t, err)
	require.NotEmpty(t, templates, "%s has no template", profile)
	result := fstest.MapFS{}
	artifacts := map[string]any{"Assets": map[string]any{"type": assetsArtifact,
		"properties": map[string]any{"file": "Assets.assets.json"}}}
	assets := map[string]any{}
	for id, whole := range templates {
		file, data := id+".template.json", encode(t, whole)
		result[file] = &fstest.MapFile{Data: data}
		artifacts[id] = map[string]any{
			"type": stackArtifact, "environment": "aws://unknown-account/unknown-region",
			"properties": map[string]any{
				"templateFile": file, "stackName": "diecast-" + id,
				"requiresBootstrapStackVersion":     6,
				"bootstrapStackVersionSsmParameter": "/cdk-bootstrap/hnb659fds/version",
			},
		}
		var template struct {
			Resources map[string]struct {
				Properties struct {
					Code    struct{ S3Key any }
					Command struct {
						ScriptLocation map[string]any
					}
				}
			}
		}
		// Other types' Code and Command need not have these shapes; those are passed over.
		_ = json.Unmarshal(data, &template)
		for _, resource := range template.Resources {
			key, uploaded := resource.Properties.Code.S3Key.(string)
			file := "/bootstrap"
			if location, script := resource.Properties.Command.ScriptLocation["Fn::Sub"].(string); script {
				key, uploaded, file = location[strings.LastIndex(location, "/")+1:], true, ""
			}
			if uploaded {
				result["asset."+key+file] = &fstest.MapFile{}
				assets[key] = map[string]any{
					"source": map[string]any{"path": "asset." + key},
					"destinations": map[string]any{
						"here": map[string]any{"bucketName": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}",
							"objectKey": key},
					},
				}
			}
		}
	}
	result["Assets.assets.json"] = &fstest.MapFile{Data: encode(t, map[string]any{"files": assets})}
	result["manifest.json"] = &fstest.MapFile{Data: encode(t, map[string]any{"version": "54.0.0",
		"artifacts": artifacts})}
	return result
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	require.NoError(t, err)
	return data
}

// deploy creates every resource of a plan with invented values, as a laptop run would.
func deploy(t *testing.T, plan *Plan) map[*Resource]any {
	t.Helper()
	result := map[*Resource]any{}
	for i, resource := range plan.Resources() {
		typed, err := plan.Decode(resource)
		require.NoError(t, err)
		properties, err := plan.Evaluate(resource)
		require.NoError(t, err)
		assertResolved(t, resource.String(), properties)
		if resource.Fate == Checked {
			assert.Nil(t, typed, resource)
			continue
		}
		require.NotNil(t, typed, resource)
		result[resource] = typed
		attributes := map[string]any{}
		for _, name := range plan.Referred(resource) {
			attributes[name] = fmt.Sprintf("%s-of-%s", name, resource)
		}
		ref := fmt.Sprintf("ref-%d", i)
		if _, listens := typed.(*Listener); listens {
			ref = "arn:listener/app/balancer/" + ref // CDK takes the balancer's name out of its parts
		}
		require.NoError(t, plan.Created(resource, Creation{Ref: ref, Attributes: attributes}))
	}
	return result
}

// assertResolved walks a value: nothing unresolved may be left in it.
func assertResolved(t *testing.T, place string, value any) {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			assert.False(t, strings.HasPrefix(name, "Fn::") || name == "Ref", "%s holds an unresolved %s", place, name)
			assertResolved(t, place+"."+name, member)
		}
	case []any:
		for i, element := range value {
			assertResolved(t, fmt.Sprintf("%s[%d]", place, i), element)
		}
	case string, bool, json.Number:
	default:
		assert.Fail(t, "unresolved", "%s is %T", place, value)
	}
}

// Which types run is held to the laptop's providers, beside these.
func TestRegistry_saysWhyATypeDoesNotRun(t *testing.T) {
	for name, entry := range registry {
		if entry.fate != Run {
			assert.NotEmpty(t, entry.reason, "%s is not executed: the registry says why", name)
		}
	}
}

func TestSnapshots_everyTypeHasAFateAndEveryStackDeploys(t *testing.T) {
	profiles, err := snapshots.Profiles()
	require.NoError(t, err)
	require.NotEmpty(t, profiles)
	for _, profile := range profiles {
		t.Run(profile, func(t *testing.T) {
			assembled, err := read(snapshot(t, profile))
			require.NoError(t, err)
			total := 0
			for _, stack := range assembled.stacks {
				for _, resource := range stack.resources {
					total++
					assert.NotEmpty(t, resource.Fate, "%s: %s", resource, resource.Reason)
				}
			}
			plan, err := assembled.Plan(Environment{})
			require.NoError(t, err)
			assert.Len(t, plan.Resources(), total, "nothing is left out")

			created := deploy(t, plan)
			outputs, err := plan.Outputs()
			require.NoError(t, err)
			for _, stack := range assembled.stacks {
				assert.ElementsMatch(t, slices.Collect(maps.Keys(stack.section("Outputs"))),
					slices.Collect(maps.Keys(outputs[stack.Name])), stack.ID)
			}
			for resource, typed := range created {
				if custom, ok := typed.(*CustomResource); ok {
					handler := custom.Handler
					require.NotNil(t, handler, resource)
					assert.True(t, strings.HasPrefix(handler.Source(), "lambda/"),
						"%s is answered by %s, built from %q", resource, handler, handler.Source())
					assert.NotEmpty(t, custom.Properties["ServiceToken"])
				}
			}
		})
	}
}
