package templates

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	cloud "diecast/internal/assembly"
	"diecast/test/templates/rollout"
)

const (
	databaseType = "AWS::RDS::DBInstance"
	// made begins what Ref and attributes of all else tell: an ARN, for templates take some apart.
	made = "arn:aws:made:us-east-1:000000000000:"
)

// resolve evaluates every property of an assembly as if all of it were created: of the databases
// that are given, every attribute tells which one stands there.
func resolve(t *testing.T, built assembly, databases map[string]string) map[string]string {
	t.Helper()
	read, err := cloud.Read(built.dir)
	require.NoError(t, err)
	plan, err := read.Plan(cloud.Environment{})
	require.NoError(t, err)
	all := map[string]string{}
	for _, resource := range plan.Resources() {
		id := resource.Stack.ID + "/" + resource.LogicalID
		properties, err := plan.Evaluate(resource)
		require.NoError(t, err, id)
		all[id] = string(compact(properties))
		if resource.Fate != cloud.Run {
			continue
		}
		creation := cloud.Creation{Ref: made + id + "/of/a/kind", Attributes: map[string]any{}}
		for _, name := range plan.Referred(resource) {
			creation.Attributes[name] = attribute(resource, name, databases)
		}
		require.NoError(t, plan.Created(resource, creation), id)
	}
	return all
}

// attribute is one of a created resource.
func attribute(resource *cloud.Resource, name string, databases map[string]string) any {
	switch {
	case resource.Type != databaseType:
		return made + resource.LogicalID + "/of/a/kind/" + name
	case name == "Endpoint.Port":
		return "1234"
	case name == "MasterUserSecret.SecretArn":
		return "arn:aws:secretsmanager:us-east-1:000000000000:secret:" + databases[resource.Stack.ID]
	}
	return databases[resource.Stack.ID] + "." + name
}

// deployed is what CloudFormation makes of an update, in the worst case: it looks anew at what a
// template changes, and at what takes an attribute of a database that it updates itself; anything
// else keeps what it was told.
func deployed(from, to assembly, was, is map[string]string) map[string]string {
	result := maps.Clone(is)
	for id, r := range to.all {
		stack, _, _ := strings.Cut(id, "/")
		before := from.templates[stack].Resources
		updated := slices.DeleteFunc(slices.Collect(maps.Keys(before)), func(other string) bool {
			return before[other].Type != databaseType || reflect.DeepEqual(before[other],
				to.templates[stack].Resources[other])
		})
		takes := slices.ContainsFunc(updated, func(other string) bool {
			return strings.Contains(string(compact(r.Properties)), fmt.Sprintf(`{"Fn::GetAtt":[%q,`, other))
		})
		_, logical, _ := strings.Cut(id, "/")
		if reflect.DeepEqual(before[logical], r) && !takes {
			result[id] = was[id]
		}
	}
	return result
}

// tellsOf are the resources that are told of a database.
func tellsOf(all map[string]string, database string) []string {
	var found []string
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if strings.Contains(all[id], database) {
			found = append(found, id)
		}
	}
	return found
}

// TestDatabases_aReplacedOneIsPickedUpByOneKey: whatever was told of the old one, host, login or
// secret, is told of the new one; the loader runs again, and without the key it would not.
func TestDatabases_aReplacedOneIsPickedUpByOneKey(t *testing.T) {
	for key, test := range map[string]struct{ stack, data, load string }{
		"vectors.generation": {"Vectors", "VectorsData", "Custom::VectorLoad"},
		"source.generation":  {"Batch", "BatchData", "Custom::SourceLoad"},
	} {
		t.Run(key, func(t *testing.T) {
			first := map[string]string{"Vectors": "vectors-one", "Batch": "batch-one"}
			second := maps.Clone(first)
			old := first[test.stack]
			second[test.stack] = strings.Replace(old, "one", "two", 1)
			before := synth(t, "profile=lean")
			was := resolve(t, before, first)
			told := tellsOf(was, old)
			assert.Greater(t, len(told), 3, "%v", told)

			raised := build(t, []string{"profile=lean", key + "=2"}, func(awscdk.App) {})
			now := deployed(before, raised, was, resolve(t, raised, second))
			assert.Empty(t, tellsOf(now, old))
			assert.Equal(t, told, tellsOf(now, second[test.stack]), "all that was told of one is told of the other")
			assert.NotEqual(t, one(t, before.templates[test.data], test.load).Properties,
				one(t, raised.templates[test.data], test.load).Properties, "the loader runs again")

			unraised := deployed(before, before, was, resolve(t, before, second))
			assert.NotEmpty(t, tellsOf(unraised, old), "the test would see what is left")
		})
	}
}

// TestDatabases_oneThatATemplateReplacesIsPickedUpByOneKey: the stacks that refer to it weakly must
// themselves change.
func TestDatabases_oneThatATemplateReplacesIsPickedUpByOneKey(t *testing.T) {
	for key, stack := range map[string]string{"vectors.generation": "Vectors", "source.generation": "Batch"} {
		t.Run(key, func(t *testing.T) {
			from := platformOf(t, []string{"profile=lean"})
			for value, rules := range map[string][]string{"1": {rollout.DeployAgain}, "2": nil} {
				to := copiedOf(t, []string{"profile=lean", key + "=" + value})
				propertiesOf(to, stack, databaseType)["MasterUsername"] = "another"
				var found []string
				for _, obstacle := range deploy(t, from, to).Obstacles {
					found = append(found, obstacle.Rule)
				}
				slices.Sort(found)
				assert.Equal(t, rules, slices.Compact(found), "%s=%s", key, value)
			}
		})
	}
}
