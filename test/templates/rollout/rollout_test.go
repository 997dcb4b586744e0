package rollout

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
)

var known = Knowledge{
	CreateOnly: map[string][]string{
		"T": {"Name", "Deep/Name", "List/*/Name"}, "AWS::Kinesis::Stream": nil, "AWS::RDS::DBInstance": {"DBName"},
		"AWS::Lambda::Url": {"TargetFunctionArn"}, "AWS::EC2::Route": nil,
	},
	Conditional: map[string][]string{"AWS::RDS::DBInstance": {"Engine", "MultiAZ"}, "T": {"Sometimes"}},
}

// two is a platform of two stacks, First before Second.
func two(t *testing.T, first, second string) Platform {
	t.Helper()
	p := Platform{Order: []string{"First", "Second"}, Templates: map[string]map[string]any{}}
	for stack, text := range map[string]string{"First": first, "Second": second} {
		var template map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &template), text)
		p.Templates[stack] = template
	}
	return p
}

const (
	exporting = `{"Resources":{"A":{"Type":"T","Properties":{"Name":"a"}}},
		"Outputs":{"O":{"Value":{"Fn::GetAtt":["A","Arn"]},"Export":{"Name":"p-First:A"}}}}`
	importing = `{"Resources":{"B":{"Type":"T","Properties":{"X":{"Fn::ImportValue":"p-First:A"}}}}}`
	alone     = `{"Resources":{"B":{"Type":"T"}}}`
	nothing   = `{"Resources":{"A":{"Type":"T","Properties":{"Name":"a"}}}}`
	reading   = `{"Resources":{"B":{"Type":"T","Properties":{
		"X":{"Fn::GetStackOutput":{"StackName":"p-First","OutputName":"O"}}}}}}`
)

// in is a stack with one resource, R, or without it where there is none.
func in(resource string) string {
	if resource == "" {
		return `{"Resources":{}}`
	}
	return `{"Resources":{"R":` + resource + `}}`
}

// again is exporting with another resource or another value.
func again(properties, value string) string {
	return `{"Resources":{"A":{"Type":"T","Properties":` + properties + `}},
		"Outputs":{"O":{"Value":` + value + `,"Export":{"Name":"p-First:A"}}}}`
}

// stream is a stack with a stream of so many shards, or an on-demand one.
func stream(shards int) string {
	if shards == 0 {
		return in(`{"Type":"AWS::Kinesis::Stream","Properties":{"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}}`)
	}
	return in(fmt.Sprintf(`{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":%d}}`, shards))
}

// disk is a stack with a database.
func disk(gib int) string {
	return in(fmt.Sprintf(`{"Type":"AWS::RDS::DBInstance","Properties":{"AllocatedStorage":"%d"}}`, gib))
}

// engine is a stack with a database of a version.
func engine(version string) string {
	return in(fmt.Sprintf(`{"Type":"AWS::RDS::DBInstance","Properties":{"EngineVersion":%q}}`, version))
}

// url is a stack with what can be there only once.
func url(id, properties string) string {
	return `{"Resources":{"` + id + `":{"Type":"AWS::Lambda::Url","Properties":` + properties + `}}}`
}

func TestDeploy_refusals(t *testing.T) {
	for name, test := range map[string]struct {
		before, after [2]string
		rules         []string
	}{
		"nothing changes": {
			[2]string{exporting, importing}, [2]string{exporting, importing}, nil},
		"an export that is in use goes": {
			[2]string{exporting, importing}, [2]string{nothing, importing}, []string{KeepExports, ExportFirst}},
		"an export and its import go": {
			[2]string{exporting, importing}, [2]string{nothing, alone}, []string{KeepExports}},
		"an export goes that nobody imports": {
			[2]string{exporting, alone}, [2]string{nothing, alone}, nil},
		"an import and its export come": {
			[2]string{nothing, alone}, [2]string{exporting, importing}, nil},
		"an import comes without": {
			[2]string{nothing, alone}, [2]string{nothing, importing}, []string{ExportFirst}},
		"an import comes before its stack": {
			[2]string{alone, nothing}, [2]string{importing, exporting}, []string{ExportFirst}},
		"an export says something else": {
			[2]string{exporting, importing},
			[2]string{again(`{"Name":"a"}`, `{"Ref":"A"}`), importing}, []string{KeepExports}},
		"what is exported is replaced": {
			[2]string{exporting, importing},
			[2]string{again(`{"Name":"b"}`, `{"Fn::GetAtt":["A","Arn"]}`), importing}, []string{KeepExports}},
		"what is exported is replaced, by text": {
			[2]string{again(`{"Name":"a"}`, `{"Fn::Sub":"x${A.Arn}"}`), importing},
			[2]string{again(`{"Name":"b"}`, `{"Fn::Sub":"x${A.Arn}"}`), importing}, []string{KeepExports}},
		"what is exported changes in place": {
			[2]string{exporting, importing},
			[2]string{again(`{"Name":"a","Size":2}`, `{"Fn::GetAtt":["A","Arn"]}`), importing}, nil},
		"a weak reference to nothing": {
			[2]string{nothing, alone}, [2]string{nothing, reading}, []string{ExportFirst}},
		"a weak reference": {
			[2]string{nothing, alone}, [2]string{exporting, reading}, nil},
		"a weak reference goes stale": {
			[2]string{exporting, reading},
			[2]string{again(`{"Name":"b"}`, `{"Fn::GetAtt":["A","Arn"]}`), reading}, []string{DeployAgain}},
		"another type": {
			[2]string{nothing, in(`{"Type":"T"}`)}, [2]string{nothing, stream(1)}, []string{KeepType}},
		"an unknown type": {
			[2]string{nothing, alone}, [2]string{nothing, in(`{"Type":"U"}`)}, []string{KnowTypes}},
		"shards double": {[2]string{nothing, stream(2)}, [2]string{nothing, stream(4)}, nil},
		"shards more than double": {[2]string{nothing, stream(2)}, [2]string{nothing, stream(5)},
			[]string{ScaleShards}},
		"shards halve": {[2]string{nothing, stream(0)}, [2]string{nothing, stream(2)}, nil},
		"shards less than half": {[2]string{nothing, stream(0)}, [2]string{nothing, stream(1)},
			[]string{ScaleShards}},
		"on demand from any": {[2]string{nothing, stream(500)}, [2]string{nothing, stream(0)}, nil},
		"a disk grows":       {[2]string{nothing, disk(20)}, [2]string{nothing, disk(100)}, nil},
		"a disk shrinks":     {[2]string{nothing, disk(100)}, [2]string{nothing, disk(20)}, []string{KeepDisk}},
		"an engine upgrades": {[2]string{nothing, engine("8.4.9")}, [2]string{nothing, engine("8.4.11")}, nil},
		"an engine goes back": {[2]string{nothing, engine("8.4.11")}, [2]string{nothing, engine("8.4.9")},
			[]string{KeepVersion}},
		"made anew under another id": {
			[2]string{nothing, url("R", `{"A":1,"Tags":[1]}`)}, [2]string{nothing, url("S", `{"A":1}`)},
			[]string{RemoveLast}},
		"another under another id": {
			[2]string{nothing, url("R", `{"A":1}`)}, [2]string{nothing, url("S", `{"A":2}`)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			result := Deploy(two(t, test.before[0], test.before[1]), two(t, test.after[0], test.after[1]), known)
			var rules []string
			for _, obstacle := range result.Obstacles {
				rules = append(rules, obstacle.Rule)
			}
			assert.Equal(t, test.rules, rules, "%v", result.Obstacles)
		})
	}
}

func TestDeploy_effects(t *testing.T) {
	const t0 = `{"Type":"T"}`
	of := func(kind, properties string) string { return `{"Type":"` + kind + `","Properties":` + properties + `}` }
	for name, test := range map[string]struct {
		before, after string // the resource, empty where there is none
		kind          Kind
		properties    []string
	}{
		"added":        {"", t0, Added, nil},
		"removed":      {t0, "", Removed, nil},
		"updated":      {of("T", `{"X":1}`), of("T", `{"Y":1}`), Updated, []string{"X", "Y"}},
		"policy alone": {t0, `{"Type":"T","DeletionPolicy":"Retain"}`, Updated, nil},
		"replaced":     {of("T", `{"Name":1}`), t0, Replaced, []string{"Name"}},
		"replaced, deep": {of("T", `{"Deep":{"Name":1}}`), of("T", `{"Deep":{"Name":2}}`), Replaced,
			[]string{"Deep"}},
		"updated, deep": {of("T", `{"Deep":{"X":1}}`), of("T", `{"Deep":{"X":2}}`), Updated, []string{"Deep"}},
		"replaced, list": {of("T", `{"List":[{"Name":1}]}`), of("T", `{"List":[{"Name":2}]}`), Replaced,
			[]string{"List"}},
		"updated, list": {of("T", `{"List":[{"X":1}]}`), of("T", `{"List":[{"X":2}]}`), Updated, []string{"List"}},
		"sometimes":     {of("T", `{"Sometimes":1}`), t0, Replaced, []string{"Sometimes"}},
		"reviewed": {of("AWS::RDS::DBInstance", `{"MultiAZ":1}`), of("AWS::RDS::DBInstance", `{}`), Updated,
			[]string{"MultiAZ"}},
		"restarted": {of("AWS::RDS::DBInstance", `{"DBInstanceClass":"a"}`),
			of("AWS::RDS::DBInstance", `{"DBInstanceClass":"b"}`), Interrupted, []string{"DBInstanceClass"}},
		"first backups": {of("AWS::RDS::DBInstance", `{"BackupRetentionPeriod":0}`),
			of("AWS::RDS::DBInstance", `{"BackupRetentionPeriod":7}`), Interrupted, []string{"BackupRetentionPeriod"}},
		"longer backups": {of("AWS::RDS::DBInstance", `{"BackupRetentionPeriod":1}`),
			of("AWS::RDS::DBInstance", `{"BackupRetentionPeriod":7}`), Updated, []string{"BackupRetentionPeriod"}},
		"another way out": {of("AWS::EC2::Route", `{"NatGatewayId":"a"}`), of("AWS::EC2::Route", `{"InstanceId":"b"}`),
			Interrupted, []string{"InstanceId", "NatGatewayId"}},
		"custom": {of("Custom::X", `{"A":1}`), of("Custom::X", `{"A":2}`), Updated, []string{"A"}},
		"custom, function": {of("Custom::X", `{"ServiceToken":1}`), of("Custom::X", `{}`), Replaced,
			[]string{"ServiceToken"}},
	} {
		t.Run(name, func(t *testing.T) {
			result := Deploy(two(t, "{}", in(test.before)), two(t, "{}", in(test.after)), known)
			assert.Empty(t, result.Obstacles)
			require.Len(t, result.Effects, 1)
			result.Effects[0].Type = ""
			want := Effect{Kind: test.kind, Stack: "Second", Resource: "R", Properties: test.properties}
			assert.Equal(t, want, result.Effects[0])
		})
	}
}

func TestDeploy_whatStandsOnAReplacedResourceIsReplacedToo(t *testing.T) {
	chain := func(name string) string {
		return `{"Resources":{"A":{"Type":"T","Properties":{"Name":"` + name + `"}},
			"B":{"Type":"T","Properties":{"Name":{"Fn::Join":["",["x",{"Ref":"A"}]]}}},
			"C":{"Type":"T","Properties":{"Name":{"Fn::Sub":["${B.Arn}-${v}",{"v":1}]}}},
			"D":{"Type":"T","Properties":{"X":{"Ref":"A"}}}}}`
	}
	var replaced []string
	for _, effect := range Deploy(two(t, "{}", chain("a")), two(t, "{}", chain("b")), known).Effects {
		assert.Equal(t, Replaced, effect.Kind)
		replaced = append(replaced, effect.Resource)
	}
	assert.Equal(t, []string{"A", "B", "C"}, replaced, "D takes the new one in place")
}

func TestDeploy_namesThatCannotBeFollowed(t *testing.T) {
	for _, template := range []string{
		`{"Outputs":{"O":{"Value":1,"Export":{"Name":{"Fn::Sub":"x"}}}}}`,
		`{"Resources":{"B":{"Type":"T","Properties":{"X":{"Fn::ImportValue":{"Ref":"P"}}}}}}`,
	} {
		assert.Panics(t, func() { Deploy(two(t, template, "{}"), two(t, template, "{}"), known) }, template)
	}
}

func TestReadKnowledge_isThatOfCfnLint(t *testing.T) {
	python, err := installed.Python()
	require.NoError(t, err)
	p := two(t, in(`{"Type":"AWS::EC2::VPC"}`),
		`{"Resources":{"B":{"Type":"AWS::No::Such"},"C":{"Type":"AWS::RDS::DBInstance"},
			"D":{"Type":"AWS::AutoScaling::AutoScalingGroup"}}}`)
	read, err := ReadKnowledge(python, p)
	require.NoError(t, err)
	assert.Contains(t, read.CreateOnly["AWS::EC2::VPC"], "CidrBlock")
	assert.Contains(t, read.Conditional["AWS::RDS::DBInstance"], "MultiAZ")
	assert.False(t, read.knows("AWS::No::Such"))
	assert.True(t, read.Covers(p))
	assert.False(t, read.Covers(two(t, in(`{"Type":"AWS::S3::Bucket"}`), "{}")))
	for kind, properties := range inPlace {
		for property := range properties {
			assert.Contains(t, read.Conditional[kind], property, "%s is reviewed for nothing", kind)
		}
	}

	_, err = ReadKnowledge("/no/python", p)
	assert.ErrorContains(t, err, "cfn-lint")
}
