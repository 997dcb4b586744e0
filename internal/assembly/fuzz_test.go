package assembly

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/templates/snapshots"
)

// FuzzPlan holds the reader to this for any two templates: it never panics, every error of a plan
// is named Problems with a stack and a message, the same templates give the same answer, and in the
// plan's order every resource evaluates, without a trace of an intrinsic, from what was created
// before it.
func FuzzPlan(f *testing.F) {
	other := `{"Resources":{"B":{"Type":"AWS::S3::Bucket"}},"Outputs":{"O":{"Value":{"Ref":"B"},` +
		`"Export":{"Name":"o"}}}}`
	f.Add([]byte(`{"Parameters":{"P":{"Type":"String","Default":"p"}},"Conditions":{"C":{"Fn::Equals":[{"Ref":"P"},`+
		`"p"]}},"Mappings":{"M":{"a":{"b":"c"}}},
		"Resources":{"X":{"Type":"AWS::Kinesis::Stream","Condition":"C","Properties":{"ShardCount":1}},
		"Y":{"Type":"AWS::SNS::Subscription","DependsOn":"X",
		"Properties":{"A":{"Fn::Join":["",[{"Fn::ImportValue":"o"},`+
		`{"Fn::GetAtt":["X","Arn"]}]]},"B":{"Fn::Sub":["${v}",{"v":{"Fn::FindInMap":["M","a","b"]}}]}}}},
		"Outputs":{"Z":{"Value":{"Fn::If":["C",{"Fn::Select":[0,{"Fn::Split":["-",{"Ref":"X"}]}]},"n"]},`+
		`"Export":{"Name":"z"}}}}`), []byte(other))
	f.Add([]byte(`{"Resources":{"X":{"Type":"AWS::SNS::Subscription","Properties":{"N":{"Fn::ImportValue":"b"}}}},`+
		`"Outputs":{"O":{"Value":{"Fn::ImportValue":"b"},"Export":{"Name":"a"}}}}`),
		[]byte(`{"Resources":{"X":{"Type":"AWS::S3::Bucket"}},"Outputs":{"O":{"Value":{"Fn::ImportValue":"a"},`+
			`"Export":{"Name":"b"}}}}`))
	for kind, example := range examples {
		f.Add([]byte(`{"Resources":{"X":{"Type":"`+kind+`","Metadata":{"diecast:source":"s"},"Properties":`+
			example.properties+`}}}`), []byte(other))
	}
	lean, err := snapshots.Read("lean")
	require.NoError(f, err)
	f.Add(encode(f, lean["VectorsData"]), []byte(other))

	f.Fuzz(func(t *testing.T, first, second []byte) {
		if json.Valid(first) && json.Valid(second) {
			holds(t, string(first), string(second))
		}
	})
}

// FuzzExpressions is FuzzPlan with templates grown from bytes: they are full of intrinsics, and
// most of them can be deployed.
func FuzzExpressions(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		seed := make([]byte, 200)
		for i := range seed {
			seed[i] = byte(random.UintN(256))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed []byte) {
		grown := &grower{seed: seed}
		first, second := grown.templates()
		holds(t, string(encode(t, first)), string(encode(t, second)))
	})
}

// grower makes template values of bytes. About one value in fifty is not what belongs in its place.
type grower struct{ seed []byte }

// next is a number below n; 0 once the seed is used up.
func (g *grower) next(n int) int {
	if len(g.seed) == 0 {
		return 0
	}
	drawn := int(g.seed[0]) % n
	g.seed = g.seed[1:]
	return drawn
}

// templates are two templates; the first refers to the second's export.
func (g *grower) templates() (first, second map[string]any) {
	first = map[string]any{
		"Parameters": map[string]any{"P": map[string]any{"Type": "String", "Default": "p"},
			"L": map[string]any{"Type": "CommaDelimitedList", "Default": "a,b"}},
		"Mappings": map[string]any{"M": map[string]any{"p": map[string]any{"a": "b", "l": []any{"c", "d"}}}},
		"Conditions": map[string]any{"C": g.condition(2),
			"D": map[string]any{"Fn::Or": []any{map[string]any{"Condition": "C"}, g.condition(2)}}},
		"Resources": map[string]any{
			"X": map[string]any{"Type": "AWS::S3::Bucket", "Properties": map[string]any{"BucketName": g.text(3, "o")}},
			"Y": map[string]any{"Type": "AWS::SNS::Subscription", "Condition": "D",
				"Properties": map[string]any{"A": g.text(4, "o", "X", "Z"), "B": g.list(3, "o", "X", "Z")}},
			"Z": map[string]any{"Type": "AWS::Kinesis::Stream", "Properties": map[string]any{"ShardCount": 1,
				"Name": g.text(3, "o", "X")}},
		},
		"Outputs": map[string]any{"O": map[string]any{"Value": g.text(4, "o", "X", "Z"),
			"Export": map[string]any{"Name": "z"}}},
	}
	second = map[string]any{
		"Resources": map[string]any{"B": map[string]any{"Type": "AWS::S3::Bucket"}},
		"Outputs": map[string]any{"O": map[string]any{"Value": map[string]any{"Fn::Sub": "${B.Arn}-${B}"},
			"Export": map[string]any{"Name": "o"}}},
	}
	return first, second
}

// odd is what does not belong.
func (g *grower) odd() any {
	values := []any{
		nil, 1, true, []any{}, map[string]any{}, "${", "${!x}", "${Gone}", "{{resolve:x}}",
		map[string]any{"Ref": "Gone"}, map[string]any{"Ref": "AWS::NoValue"},
		map[string]any{"Fn::Cidr": 1}, map[string]any{"Ref": "X"}, map[string]any{"Fn::GetAtt": "Y.TopicName"},
		map[string]any{"Fn::ImportValue": "z"},
	}
	return values[g.next(len(values))]
}

// text is an expression that yields a string. It may import the named export and refer to the named
// resources.
func (g *grower) text(depth int, export string, resources ...string) any {
	name := append([]string{"P", "AWS::Region", "AWS::StackId", "AWS::AccountId"},
		resources...)[g.next(4+len(resources))]
	if depth == 0 {
		return []any{"p", "a-b", "", 1.5, true, map[string]any{"Ref": name}}[g.next(6)]
	}
	text := func() any { return g.text(depth-1, export, resources...) }
	switch drawn := g.next(50); {
	case drawn == 49:
		return g.odd()
	case drawn%8 == 0:
		return map[string]any{"Ref": name}
	case drawn%8 == 1:
		return map[string]any{"Fn::Join": []any{"-", g.list(depth-1, export, resources...)}}
	case drawn%8 == 2:
		return map[string]any{"Fn::Sub": []any{"${v}-${" + name + "}-${!v}", map[string]any{"v": text()}}}
	case drawn%8 == 3:
		return map[string]any{"Fn::Select": []any{g.next(2), []any{text(), text()}}}
	case drawn%8 == 4:
		return map[string]any{"Fn::If": []any{[]string{"C", "D"}[g.next(2)], text(), text()}}
	case drawn%8 == 5 && export != "":
		return map[string]any{"Fn::ImportValue": export}
	case drawn%8 == 6 && len(resources) > 0:
		return map[string]any{"Fn::GetAtt": []any{resources[g.next(len(resources))], "Arn"}}
	case drawn%8 == 7:
		return map[string]any{"Fn::Base64": text()}
	}
	return map[string]any{"Fn::FindInMap": []any{"M", map[string]any{"Ref": "P"}, "a"}}
}

// list is an expression that yields a list of strings.
func (g *grower) list(depth int, export string, resources ...string) any {
	if depth == 0 {
		return map[string]any{"Ref": "L"}
	}
	text := func() any { return g.text(depth-1, export, resources...) }
	switch g.next(6) {
	case 0:
		return map[string]any{"Fn::Split": []any{"-", text()}}
	case 1:
		return map[string]any{"Fn::GetAZs": ""}
	case 2:
		return map[string]any{"Fn::FindInMap": []any{"M", "p", "l"}}
	case 3:
		return []any{text(), map[string]any{"Ref": "AWS::NoValue"}, text()}
	case 4:
		return map[string]any{"Fn::Split": []any{":", text()}}
	}
	return []any{text()}
}

func (g *grower) condition(depth int) any {
	if depth > 0 {
		switch g.next(4) {
		case 0:
			return map[string]any{"Fn::Not": []any{g.condition(depth - 1)}}
		case 1:
			return map[string]any{"Fn::And": []any{g.condition(depth - 1), g.condition(depth - 1)}}
		case 2:
			return map[string]any{"Fn::Or": []any{g.condition(depth - 1), g.condition(depth - 1)}}
		}
	}
	return map[string]any{"Fn::Equals": []any{[]any{"p", "q"}[g.next(2)], map[string]any{"Ref": "P"}}}
}

// holds checks what FuzzPlan states of two templates.
func holds(t *testing.T, first, second string) {
	t.Helper()
	plan := func() (*Plan, error) {
		assembled, err := assemble(t, map[string]given{"A": {template: first}, "B": {template: second}}, fstest.MapFS{
			"asset.abc/bootstrap": &fstest.MapFile{},
			"Assets.assets.json": &fstest.MapFile{Data: []byte(`{"files":{"abc":{"source":{"path":"asset.abc"},` +
				`"destinations":{"x":{"bucketName":"assets","objectKey":"abc.zip"}}}}}`)},
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
		require.NoError(t, made.Created(resource, Creation{Ref: "ref", Attributes: attributes}))
	}
	_, err = made.Outputs()
	told(err)
}
