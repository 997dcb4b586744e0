package assembly

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type rawJSON = json.RawMessage

func decodeJSON(text string, into any) error { return json.Unmarshal([]byte(text), into) }

// FuzzPlan holds the reader to this for any two templates: it never panics, every error of a plan is named Problems with a
// stack and a message, the same templates give the same answer, and in the plan's order every resource evaluates, without a
// trace of an intrinsic, from what was created before it.
func FuzzPlan(f *testing.F) {
	other := `{"Resources":{"B":{"Type":"AWS::S3::Bucket"}},"Outputs":{"O":{"Value":{"Ref":"B"},"Export":{"Name":"o"}}}}`
	f.Add([]byte(`{"Parameters":{"P":{"Type":"String","Default":"p"}},"Conditions":{"C":{"Fn::Equals":[{"Ref":"P"},"p"]}},"Mappings":{"M":{"a":{"b":"c"}}},
		"Resources":{"X":{"Type":"AWS::Kinesis::Stream","Condition":"C","Properties":{"ShardCount":1}},
		"Y":{"Type":"AWS::SNS::Topic","DependsOn":"X","Properties":{"A":{"Fn::Join":["",[{"Fn::ImportValue":"o"},{"Fn::GetAtt":["X","Arn"]}]]},"B":{"Fn::Sub":["${v}",{"v":{"Fn::FindInMap":["M","a","b"]}}]}}}},
		"Outputs":{"Z":{"Value":{"Fn::If":["C",{"Fn::Select":[0,{"Fn::Split":["-",{"Ref":"X"}]}]},"n"]},"Export":{"Name":"z"}}}}`), []byte(other))
	f.Add([]byte(`{"Resources":{"X":{"Type":"AWS::SNS::Topic","Properties":{"N":{"Fn::ImportValue":"b"}}}},"Outputs":{"O":{"Value":{"Fn::ImportValue":"b"},"Export":{"Name":"a"}}}}`),
		[]byte(`{"Resources":{"X":{"Type":"AWS::S3::Bucket"}},"Outputs":{"O":{"Value":{"Fn::ImportValue":"a"},"Export":{"Name":"b"}}}}`))
	for kind, example := range examples {
		f.Add([]byte(`{"Resources":{"X":{"Type":"`+kind+`","Metadata":{"diecast:source":"s"},"Properties":`+example.properties+`}}}`), []byte(other))
	}
	file, err := os.ReadFile(filepath.Join(snapshots, "lean", "VectorsData.template.json"))
	require.NoError(f, err)
	f.Add(file, []byte(other))

	f.Fuzz(func(t *testing.T, first, second []byte) {
		if !json.Valid(first) || !json.Valid(second) {
			return
		}
		plan := func() (*Plan, error) {
			assembled, err := assemble(t, map[string]given{"A": {template: string(first)}, "B": {template: string(second)}}, fstest.MapFS{
				"asset.abc/bootstrap": &fstest.MapFile{},
				"Assets.assets.json":  &fstest.MapFile{Data: []byte(`{"files":{"abc":{"source":{"path":"asset.abc"},"destinations":{"x":{"bucketName":"assets","objectKey":"abc.zip"}}}}}`)},
			})
			if err != nil {
				return nil, err
			}
			return assembled.Plan(Environment{})
		}
		made, err := plan()
		again, errAgain := plan()
		if err != nil {
			require.EqualError(t, errAgain, err.Error())
			var problems Problems
			if errors.As(err, &problems) {
				for _, problem := range problems {
					assert.NotEmpty(t, problem.Stack)
					assert.NotEmpty(t, problem.Message)
				}
			}
			return
		}
		require.NoError(t, errAgain)
		require.Equal(t, names(made.Resources()), names(again.Resources()))
		// A Select may miss in what a created resource yields, which must be told as a problem, too.
		told := func(err error) {
			var problems Problems
			if err != nil {
				require.ErrorAs(t, err, &problems)
				for _, problem := range problems {
					assert.NotContains(t, problem.Message, "not been created", "the order puts what is referred to first")
					assert.NotContains(t, problem.Message, "not reported")
				}
			}
		}
		for _, resource := range made.Resources() {
			properties, err := made.Evaluate(resource)
			told(err)
			assertResolved(t, resource.String(), properties)
			_, err = made.Decode(resource)
			told(err)
			if resource.Fate != Run {
				continue
			}
			attributes := map[string]any{}
			for _, name := range made.Referred(resource) {
				attributes[name] = name
			}
			require.NoError(t, made.Created(resource, "ref", attributes))
		}
		_, err = made.Outputs()
		told(err)
	})
}
