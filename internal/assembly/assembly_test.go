package assembly

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// given is one stack of a test's assembly.
type given struct {
	template string
	needs    []string
	env      string
}

// assemble reads an assembly of these stacks; their names are "shop-" and the id.
func assemble(t testing.TB, stacks map[string]given, files fstest.MapFS) (*Assembly, error) {
	t.Helper()
	if files == nil {
		files = fstest.MapFS{}
	}
	artifacts := map[string]any{}
	for id, stack := range stacks {
		files[id+".template.json"] = &fstest.MapFile{Data: []byte(stack.template)}
		artifacts[id] = map[string]any{
			"type": stackArtifact, "environment": stack.env, "dependencies": stack.needs,
			"properties": map[string]any{"templateFile": id + ".template.json", "stackName": "shop-" + id},
		}
	}
	if _, ok := files["Assets.assets.json"]; ok {
		artifacts["Assets"] = map[string]any{"type": assetsArtifact,
			"properties": map[string]any{"file": "Assets.assets.json"}}
	}
	files["manifest.json"] = &fstest.MapFile{Data: encode(t, map[string]any{"version": "54.0.0",
		"artifacts": artifacts})}
	return read(files)
}

// planned plans an assembly of these stacks.
func planned(t testing.TB, environment Environment, stacks map[string]given) (*Plan, error) {
	t.Helper()
	assembled, err := assemble(t, stacks, nil)
	require.NoError(t, err)
	return assembled.Plan(environment)
}

func find(t testing.TB, plan *Plan, name string) *Resource {
	t.Helper()
	for _, resource := range plan.Resources() {
		if resource.String() == name {
			return resource
		}
	}
	require.Fail(t, "no such resource", name)
	return nil
}

func names(resources []*Resource) []string {
	result := make([]string, len(resources))
	for i, resource := range resources {
		result[i] = resource.String()
	}
	return result
}

func TestRead_folder(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("manifest.json", `{"version":"54.0.0","artifacts":{
		"Shop.assets":{"type":"cdk:asset-manifest","properties":{"file":"Shop.assets.json"}},
		"Shop":{"type":"aws:cloudformation:stack","environment":"aws://unknown-account/eu-west-1",`+
		`"additionalMetadataFile":"Shop.metadata.json",
			"dependencies":["Shop.assets"],"properties":{"templateFile":"Shop.template.json","stackName":"toys-Shop"}},
		"Tree":{"type":"cdk:tree","properties":{"file":"tree.json"}}}}`)
	write("Shop.template.json", `{"Resources":{"Handler1":{"Type":"AWS::Lambda::Function",`+
		`"Metadata":{"diecast:source":"lambda/deliver"},"Properties":{
		"Code":{"S3Bucket":{"Fn::Sub":"assets-${AWS::AccountId}-${AWS::Region}"},"S3Key":"abc.zip"},`+
		`"Handler":"bootstrap","Runtime":"provided.al2023","Role":"r"}}}}`)
	write("Shop.assets.json",
		`{"files":{"abc":{"source":{"path":"asset.abc"},`+
			`"destinations":{"x":{"bucketName":"assets-${AWS::AccountId}-${AWS::Region}","objectKey":"abc.zip"}}}}}`)
	write("Shop.metadata.json",
		`{"/Shop/Handler/Resource":[{"type":"aws:cdk:logicalId","data":"Handler1"},{"type":"aws:cdk:warning",`+
			`"data":{"x":1}}]}`)

	assembled, err := Read(folder)
	require.NoError(t, err)
	_, err = assembled.Plan(Environment{})
	require.ErrorContains(t, err,
		"Shop/Handler1 Properties.Code: the asset of s3://assets-000000000000-eu-west-1/abc.zip")

	require.NoError(t, os.Mkdir(filepath.Join(folder, "asset.abc"), 0o700))
	plan, err := assembled.Plan(Environment{})
	require.NoError(t, err)
	handler := find(t, plan, "Shop/Handler1")
	assert.Equal(t, "/Shop/Handler/Resource", handler.ConstructPath)
	assert.Equal(t, "eu-west-1", plan.Environment(handler.Stack).Region)
	typed, err := plan.Decode(handler)
	require.NoError(t, err)
	require.IsType(t, &Function{}, typed)
	assert.Equal(t, "lambda/deliver", typed.(*Function).Source)
}

func TestRead_unreadable(t *testing.T) {
	stack := `"S":{"type":"aws:cloudformation:stack","properties":{"templateFile":"S.json","stackName":"s"%s}}`
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"no manifest":     {nil, "manifest.json"},
		"broken manifest": {map[string]string{"manifest.json": `{"version"`}, "manifest.json: unexpected EOF"},
		"two values":      {map[string]string{"manifest.json": `{} {}`}, "more than one JSON value"},
		"another manifest": {map[string]string{"manifest.json": `{"name":"app"}`},
			"not the manifest of a cloud assembly"},
		"no stack": {map[string]string{"manifest.json": `{"version":"1","artifacts":{"T":{"type":"cdk:tree"}}}`},
			"names no stack"},
		"a stage": {map[string]string{
			"manifest.json": `{"version":"1","artifacts":{"P":{"type":"cdk:cloud-assembly"}}}`,
		}, "artifact P is a stage"},
		"template missing": {map[string]string{"manifest.json": `{"version":"1","artifacts":{` + fmt.Sprintf(stack,
			"") + `}}`}, "template of stack S"},
		"template a list": {map[string]string{"manifest.json": `{"version":"1","artifacts":{` + fmt.Sprintf(stack,
			"") + `}}`, "S.json": `[]`}, "template of stack S"},
		"assets missing": {map[string]string{
			"manifest.json": `{"version":"1","artifacts":{"A":{"type":"cdk:asset-manifest",` +
				`"properties":{"file":"A.json"}}}}`,
		}, "asset manifest"},
		"two stacks a name": {map[string]string{"manifest.json": `{"version":"1","artifacts":{` + fmt.Sprintf(stack,
			"") + `,"T":{"type":"aws:cloudformation:stack","properties":{"templateFile":"S.json","stackName":"s"}}}}`,
			"S.json": `{"Resources":{}}`}, "stacks S and T have the same name, s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range test.files {
				require.NoError(t, os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600))
			}
			_, err := Read(folder)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, folder)
		})
	}
}

func TestPlan_tellsEveryProblemAtOnce(t *testing.T) {
	_, err := planned(t, Environment{Parameters: map[string]string{"A:Colour": "red"}}, map[string]given{
		"A": {template: `{"Transform":"AWS::Serverless","Hooks":{},"Mappings":[],"Resources":{
			"Odd":{"Type":"AWS::Quantum::Computer","Properties":{"X":{"Fn::Frobnicate":[]}}},
			"Token":{"Type":"AWS::ElasticLoadBalancingV2::ListenerRule","Properties":{"Priority":1,
				"Actions":[{"Type":"jwt-validation"}]}},
			"Events":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":0,"Colour":"red",` +
			`"Name":{"Ref":"Nowhere"}},"DependsOn":"Gone"},
			"List":[],"NoType":{},"Strange":{"Type":"AWS::S3::Bucket","Color":1,"DependsOn":[1],"Condition":2,` +
			`"Properties":[]}}}`},
		"B": {template: `{"Resources":{"Topic":{"Type":"AWS::SNS::Subscription",` +
			`"Properties":{"Name":{"Fn::ImportValue":"nothing"}}}}}`},
	})
	var problems Problems
	require.ErrorAs(t, err, &problems)
	var lines []string
	for _, problem := range problems {
		lines = append(lines, problem.Error())
	}
	intrinsicsKnown := "known are Fn::Base64, Fn::FindInMap, Fn::GetAZs, Fn::GetAtt, Fn::GetStackOutput, Fn::If, " +
		"Fn::ImportValue, Fn::Join, Fn::Select, Fn::Split, Fn::Sub, Ref"
	assert.Equal(t, []string{
		`A: a value is given for the parameter "Colour", which no template declares`,
		`A Hooks: unknown section; known are AWSTemplateFormatVersion, Conditions, Description, Mappings, Metadata, ` +
			`Outputs, Parameters, Resources, Rules`,
		`A Mappings: got a list of 0, want an object`,
		`A Transform: macros and transforms run in AWS only: write the template out`,
		`A/Events DependsOn[0]: no resource of stack A is called Gone`,
		"A/Events Properties.Colour: the laptop's Kinesis::Stream neither honours nor knowingly ignores " +
			"this property: give it a meaning or a reason in internal/assembly",
		`A/Events Properties.Name.Ref: no resource or parameter of stack A is called Nowhere`,
		`A/Events Properties.ShardCount: got 0, want a whole number from 1 to 10000`,
		`A/List: got a list of 0, want an object`,
		`A/NoType Type: got nothing, want the name of a resource type`,
		`A/Odd Properties.X.Fn::Frobnicate: unknown intrinsic Fn::Frobnicate; ` + intrinsicsKnown,
		"A/Odd Type: the resource type AWS::Quantum::Computer has no fate: " +
			"say in internal/assembly/registry.go whether it is run or only checked",
		`A/Strange Color: unknown member of a resource; known are Condition, CreationPolicy, DeletionPolicy, ` +
			`DependsOn, Metadata, Properties, Type, UpdatePolicy, UpdateReplacePolicy`,
		`A/Strange Condition: got 2, want the name of a condition`,
		`A/Strange DependsOn[0]: got 1, want a logical id`,
		`A/Strange Properties: got a list of 0, want an object`,
		"A/Token Type: got a rule, want none: a laptop has nobody who verifies tokens, and its balancer treats all " +
			"requests alike; leave web.jwt.* out",
		`B/Topic Properties.Name.Fn::ImportValue: no stack of the assembly exports "nothing"`,
	}, lines)
}

// Whoever runs the resources adds what only they can know, to the same list.
func TestPlan_checks(t *testing.T) {
	assembled, err := assemble(t, map[string]given{"A": {template: `{"Resources":{
		"Events":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":0,"Name":{"Ref":"Data"}}},
		"Data":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"lake"}},
		"Topic":{"Type":"AWS::SNS::Subscription"}}}`}},
		nil)
	require.NoError(t, err)
	seen := map[string]any{}
	check := func(plan *Plan) (problems Problems) {
		for _, resource := range plan.Resources() {
			seen[resource.LogicalID] = plan.Rehearsed(resource)
		}
		return Problems{find(t, plan, "A/Data").Problem("Properties.BucketName", "there is no %s", "lake")}
	}
	_, err = assembled.Plan(Environment{}, check, check)
	assert.EqualError(t, err,
		"A/Data Properties.BucketName: there is no lake\nA/Events Properties.ShardCount: got 0, want a whole number "+
			"from 1 to 10000")
	assert.Equal(t, map[string]any{
		"Events": &Stream{Shards: 1, Retention: 24 * time.Hour}, "Data": &Bucket{Name: "lake"}, "Topic": nil,
	}, seen, "what refers to a resource that is not there yet is absent")
}

const bucket = `{"Type":"AWS::S3::Bucket"}`

func TestPlan_order(t *testing.T) {
	plan, err := planned(t, Environment{}, map[string]given{
		// Alphabetical order would be wrong everywhere.
		"A": {needs: []string{"C", "A.assets"}, template: `{"Resources":{
			"A1":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":{"Fn::Sub":"x-${B1}"}}},
			"B1":{"Type":"AWS::S3::Bucket","DependsOn":["D1"],"Properties":{"BucketName":{"Fn::GetAtt":["C1","Arn"]}}},
			"C1":` + bucket + `,"D1":` + bucket + `}}`},
		"B": {template: `{"Resources":{"Own":{"Type":"AWS::SNS::Subscription",` +
			`"Properties":{"TopicName":{"Fn::ImportValue":{"Fn::Sub":"name-${AWS::Region}"}}}}},
			"Outputs":{"Name":{"Value":{"Ref":"Own"}}}}`},
		"C": {template: `{"Resources":{"Own":{"Type":"AWS::SNS::Subscription",` +
			`"Properties":{"TopicName":{"Fn::GetStackOutput":{"StackName":"shop-B","OutputName":"Name"}}}}}}`},
		"D": {template: `{"Resources":{"Own":` + bucket +
			`},"Outputs":{"Name":{"Value":"fixed","Export":{"Name":"name-us-east-1"}}}}`},
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"D/Own", "B/Own", "C/Own", "A/C1", "A/D1", "A/B1", "A/A1"}, names(plan.Resources()))
}

func TestPlan_circlesAreNamed(t *testing.T) {
	tests := map[string]struct {
		stacks map[string]given
		want   string
	}{
		"resources": {map[string]given{"A": {template: `{"Resources":{
			"X":{"Type":"AWS::SNS::Subscription","Properties":{"N":{"Ref":"Y"}}},
			"Y":{"Type":"AWS::SNS::Subscription",` +
			`"DependsOn":"Z"},
			"Z":{"Type":"AWS::SNS::Subscription","Properties":{"N":[{"Fn::Sub":"${X.Arn}"}]}},
			"W":{"Type":"AWS::SNS::Subscription",` +
			`"DependsOn":"X"}}}`}},
			"A/X: resources depend on each other in a circle: X -> Y -> Z -> X"},
		"a resource and itself": {map[string]given{"A": {template: `{"Resources":{"X":{` +
			`"Type":"AWS::SNS::Subscription",` +
			`"Properties":{"N":{"Ref":"X"}}}}}`}},
			"A/X: resources depend on each other in a circle: X -> X"},
		"stacks by the manifest": {map[string]given{"A": {needs: []string{"B"}, template: `{"Resources":{"X":` +
			bucket + `}}`}, "B": {needs: []string{"A"}, template: `{"Resources":{"X":` + bucket + `}}`}},
			"A: stacks depend on each other in a circle: A -> B -> A"},
		"stacks by an export": {map[string]given{
			"A": {template: `{"Resources":{"X":{"Type":"AWS::SNS::Subscription",` +
				`"Properties":{"N":{"Fn::ImportValue":"b"}}}}}`},
			"B": {needs: []string{"A"}, template: `{"Resources":{"X":` + bucket +
				`},"Outputs":{"O":{"Value":"v","Export":{"Name":"b"}}}}`}},
			"stacks depend on each other in a circle: A -> B -> A"},
		"outputs": {map[string]given{
			"A": {template: `{"Resources":{"X":` + bucket +
				`},"Outputs":{"O":{"Value":{"Fn::ImportValue":"b"},"Export":{"Name":"a"}}}}`},
			"B": {template: `{"Resources":{"X":` + bucket +
				`},"Outputs":{"O":{"Value":{"Fn::ImportValue":"a"},"Export":{"Name":"b"}}}}`}},
			"stacks depend on each other in a circle: A -> B -> A"},
		"conditions": {map[string]given{"A": {template: `{"Conditions":{"P":{"Fn::Not":[{"Condition":"Q"}]},` +
			`"Q":{"Fn::Not":[{"Condition":"P"}]}},"Resources":{"X":` + bucket + `}}`}},
			"A Conditions: conditions lead in a circle: P -> Q -> P"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := planned(t, Environment{}, test.stacks)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestPlan_falseConditions(t *testing.T) {
	template := `{"Parameters":{"Stage":{"Type":"String","Default":"dev"}},
		"Conditions":{"Prod":{"Fn::Equals":[{"Ref":"Stage"},"prod"]}},
		"Resources":{"Extra":{"Type":"AWS::S3::Bucket","Condition":"Prod"},
			"Topic":{"Type":"AWS::SNS::Subscription","DependsOn":"Extra","Properties":{"N":{"Fn::If":["Prod",{` +
		`"Ref":"Extra"},{"Ref":"AWS::NoValue"}]}}}%s},
		"Outputs":{"Name":{"Condition":"Prod","Value":{"Ref":"Extra"},"Export":{"Name":"extra"}},` +
		`"Stage":{"Value":{"Ref":"Stage"}}}}`

	t.Run("what is false is left out", func(t *testing.T) {
		plan, err := planned(t, Environment{}, map[string]given{"A": {template: fmt.Sprintf(template, "")}})
		require.NoError(t, err)
		assert.Equal(t, []string{"A/Topic"}, names(plan.Resources()))
		properties, err := plan.Evaluate(find(t, plan, "A/Topic"))
		require.NoError(t, err)
		assert.Empty(t, properties)
		outputs, err := plan.Outputs()
		require.NoError(t, err)
		assert.Equal(t, map[string]map[string]string{"shop-A": {"Stage": "dev"}}, outputs)
	})
	t.Run("what is true is there", func(t *testing.T) {
		plan, err := planned(t, Environment{Parameters: map[string]string{"A:Stage": "prod"}},
			map[string]given{"A": {template: fmt.Sprintf(template, "")}})
		require.NoError(t, err)
		assert.Equal(t, []string{"A/Extra", "A/Topic"}, names(plan.Resources()))
	})
	t.Run("a reference to what is left out", func(t *testing.T) {
		_, err := planned(t, Environment{},
			map[string]given{"A": {template: fmt.Sprintf(template,
				`,"Other":{"Type":"AWS::SNS::Subscription","Properties":{"N":{"Fn::GetAtt":["Extra","Arn"]}}}`)}})
		assert.EqualError(t, err,
			"A/Other Properties.N.Fn::GetAtt: refers to Extra, which is left out because its condition Prod is false")
	})
	t.Run("an import of what is left out", func(t *testing.T) {
		_, err := planned(t, Environment{}, map[string]given{"A": {template: fmt.Sprintf(template, "")},
			"B": {template: `{"Resources":{"T":{"Type":"AWS::SNS::Subscription",` +
				`"Properties":{"N":{"Fn::ImportValue":"extra"}}}}}`}})
		assert.EqualError(t, err,
			"B/T Properties.N.Fn::ImportValue: the output Name of stack A is left out because its condition is false")
	})
	t.Run("a condition that is not declared", func(t *testing.T) {
		_, err := planned(t, Environment{},
			map[string]given{"A": {template: `{"Resources":{"X":{"Type":"AWS::S3::Bucket","Condition":"No"}}}`}})
		assert.EqualError(t, err, "A/X Condition: the template has no condition called No")
	})
}

func TestPlan_createdResourcesAnswer(t *testing.T) {
	stacks := map[string]given{
		"A": {template: `{"Resources":{"Data":` + bucket +
			`},"Outputs":{"Arn":{"Value":{"Fn::GetAtt":["Data","Arn"]},"Export":{"Name":"arn"}}}}`},
		"B": {template: `{"Resources":{"Copy":{"Type":"AWS::S3::Bucket","Properties":{"BucketName":{"Fn::Join":["-",` +
			`[{"Fn::ImportValue":"arn"},"copy"]]}}}},
			"Outputs":{"Domain":{"Value":{"Fn::GetAtt":["Copy","DomainName"]}}}}`},
	}
	plan, err := planned(t, Environment{}, stacks)
	require.NoError(t, err)
	data, duplicate := find(t, plan, "A/Data"), find(t, plan, "B/Copy")

	_, err = plan.Evaluate(duplicate)
	require.ErrorContains(t, err,
		"A Outputs.Arn.Value.Fn::GetAtt: refers to Data (AWS::S3::Bucket), which has not been created")

	assert.Equal(t, []string{"Arn"}, plan.Referred(data))
	require.NoError(t, plan.Created(data,
		Creation{Ref: "data-1", Attributes: map[string]any{"Arn": "arn:aws:s3:::data-1"}}))
	properties, err := plan.Evaluate(duplicate)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"BucketName": "arn:aws:s3:::data-1-copy"}, properties)
	typed, err := plan.Decode(duplicate)
	require.NoError(t, err)
	assert.Equal(t, &Bucket{Name: "arn:aws:s3:::data-1-copy"}, typed)

	require.NoError(t, plan.Created(duplicate, Creation{Ref: "copy"}))
	_, err = plan.Outputs()
	require.ErrorContains(t, err, "attribute DomainName of Copy (AWS::S3::Bucket) was not reported when it was created")
	require.NoError(t, plan.Created(duplicate,
		Creation{Ref: "copy", Attributes: map[string]any{"DomainName": "copy.s3.amazonaws.com"}}))
	outputs, err := plan.Outputs()
	require.NoError(t, err)
	assert.Equal(t, map[string]map[string]string{"shop-A": {"Arn": "arn:aws:s3:::data-1"},
		"shop-B": {"Domain": "copy.s3.amazonaws.com"}}, outputs)

	err = plan.Created(data, Creation{Attributes: map[string]any{"Colour": "red"}})
	require.ErrorContains(t, err, "A/Data (AWS::S3::Bucket)")
	assert.ErrorContains(t, err, "its Ref is empty")
	assert.ErrorContains(t, err, "unknown attribute Colour; known are Arn, DomainName, RegionalDomainName")
	other, err := planned(t, Environment{}, stacks)
	require.NoError(t, err)
	assert.ErrorContains(t, other.Created(data, Creation{Ref: "x"}), "not a part of this plan")
}

func TestPlan_standIns(t *testing.T) {
	plan, err := planned(t, Environment{Region: "eu-west-1", AccountID: "111122223333"},
		map[string]given{"Net": {template: `{"Resources":{
		"Vpc":{"Type":"AWS::EC2::VPC"},"Role":{"Type":"AWS::IAM::Role"},"Topic":{"Type":"AWS::SNS::Subscription"},` +
			`"Scaling":{"Type":"AWS::AutoScaling::ScalingPolicy"}},
		"Outputs":{"Vpc":{"Value":{"Ref":"Vpc"}},"Cidr":{"Value":{"Fn::GetAtt":["Vpc","CidrBlock"]}},` +
			`"Role":{"Value":{"Ref":"Role"}},"RoleArn":{"Value":{"Fn::GetAtt":"Role.Arn"}},
			"Topic":{"Value":{"Ref":"Topic"}},"TopicName":{"Value":{"Fn::GetAtt":["Topic","TopicName"]}},` +
			`"Scaling":{"Value":{"Ref":"Scaling"}}}}`}})
	require.NoError(t, err)
	outputs, err := plan.Outputs()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{
		"Vpc": "checked:Net/Vpc", "Cidr": "checked:Net/Vpc.CidrBlock", "Role": "checked:Net/Role",
		"RoleArn":   "arn:aws:iam::111122223333:checked/Net/Role",
		"Topic":     "arn:aws:sns:eu-west-1:111122223333:checked/Net/Topic",
		"TopicName": "checked:Net/Topic.TopicName",
		"Scaling":   "arn:aws:autoscaling:eu-west-1:111122223333:checked/Net/Scaling",
	}, outputs["shop-Net"])
	assert.ErrorContains(t, plan.Created(find(t, plan, "Net/Vpc"), Creation{Ref: "vpc-1"}),
		"it is only checked, never created")
}

func TestParameters(t *testing.T) {
	long, _ := json.Marshal("/aws/service/ami")
	tests := map[string]struct {
		declaration string
		given       map[string]string
		want        any
		problem     string
	}{
		"default": {declaration: `{"Type":"String","Default":"a"}`, want: "a"},
		"given": {declaration: `{"Type":"String","Default":"a"}`,
			given: map[string]string{"A:P": "b"}, want: "b"},
		"number as it is spelled": {declaration: `{"Type":"Number","Default":1.50}`, want: "1.50"},
		"comma-delimited list": {declaration: `{"Type":"CommaDelimitedList","Default":"a, b,c"}`,
			want: []any{"a", "b", "c"}},
		"list of subnets": {declaration: `{"Type":"List<AWS::EC2::Subnet::Id>","Default":"x,y"}`,
			want: []any{"x", "y"}},
		"key pair": {declaration: `{"Type":"AWS::EC2::KeyPair::KeyName","Default":"k"}`, want: "k"},
		"published by AWS": {declaration: `{"Type":"AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>",` +
			`"Default":` + string(long) + `}`, want: "checked:/aws/service/ami"},
		"system parameter": {declaration: `{"Type":"AWS::SSM::Parameter::Value<List<String>>",` +
			`"Default":"/own"}`, want: []any{"u", "v"}},
		"allowed": {declaration: `{"Type":"String","Default":"a","AllowedValues":["a","b"],` +
			`"AllowedPattern":"[a-c]","MinLength":1,"MaxLength":"1"}`, want: "a"},
		"no default": {declaration: `{"Type":"String"}`,
			problem: "A Parameters.P: has no default: give its value as A:P"},
		"unknown system parameter": {declaration: `{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/other"}`,
			problem: `reads the Systems Manager parameter "/other", whose value is not given`},
		"unknown type": {declaration: `{"Type":"Colour","Default":"a"}`,
			problem: `A Parameters.P.Type: unknown parameter type "Colour"`},
		"not a number": {declaration: `{"Type":"Number","Default":"a"}`,
			problem: `got "a", want a number`},
		"at the limits": {declaration: `{"Type":"Number","Default":2.25,"MinValue":2.25,"MaxValue":2.25}`,
			want: "2.25"},
		"too small": {declaration: `{"Type":"Number","Default":1,"MinValue":2.25}`,
			problem: `got "1", want at least 2.25`},
		"too large": {declaration: `{"Type":"Number","Default":3,"MaxValue":2.25}`,
			problem: `got "3", want at most 2.25`},
		"too short": {declaration: `{"Type":"String","Default":"","MinLength":12}`,
			problem: `want at least 12 characters`},
		"too long": {declaration: `{"Type":"String","Default":"0123456789abc","MaxLength":12}`,
			problem: `want at most 12 characters`},
		"pattern holds for all": {declaration: `{"Type":"String","Default":"ab","AllowedPattern":"a"}`,
			problem: `want a value that matches a`},
		"not allowed": {declaration: `{"Type":"String","Default":"c","AllowedValues":["a","b"]}`,
			problem: `got "c", want one of a, b`},
		"hidden values stay hidden": {declaration: `{"Type":"String","Default":"c","NoEcho":true,` +
			`"AllowedValues":["a"]}`, problem: `got a hidden value, want one of a`},
		"a declaration that is none": {declaration: `[]`, problem: `A Parameters.P: got a list of 0, want an object`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := planned(t, Environment{Parameters: test.given,
				SystemParameters: map[string]string{"/own": "u,v"}}, map[string]given{
				"A": {template: `{"Parameters":{"P":` + test.declaration +
					`},"Resources":{"T":{"Type":"AWS::SNS::Subscription","Properties":{"V":{"Ref":"P"}}}}}`}})
			if test.problem != "" {
				require.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			properties, err := plan.Evaluate(find(t, plan, "A/T"))
			require.NoError(t, err)
			assert.Equal(t, test.want, properties["V"])
		})
	}
}

func TestRules(t *testing.T) {
	template := `{"Parameters":{"Version":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/bootstrap"}},` +
		`"Resources":{"X":` + bucket + `},
		"Rules":{"R":{%s"Assertions":[{"Assert":{"Fn::Not":[{"Fn::Contains":[["1","2"],{"Ref":"Version"}]}]},` +
		`"AssertDescription":"too old"}]}}}`
	never := `"RuleCondition":{"Fn::Equals":["a","b"]},`
	tests := map[string]struct{ condition, version, problem string }{
		"holds":          {"", "3", ""},
		"does not hold":  {"", "2", "A Rules.R.Assertions[0]: the rule does not hold: too old"},
		"does not apply": {never, "2", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := planned(t, Environment{SystemParameters: map[string]string{"/bootstrap": test.version}},
				map[string]given{"A": {template: fmt.Sprintf(template, test.condition)}})
			if test.problem == "" {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, test.problem)
			}
		})
	}
	t.Run("asks for the region only", func(t *testing.T) {
		_, err := planned(t, Environment{}, map[string]given{"A": {template: `{"Resources":{"X":` + bucket + `},
			"Rules":{"R":{"Assertions":[{"Assert":{"Fn::Contains":[["eu-west-1"],{"Ref":"AWS::Region"}]}}]}}}`}})
		assert.NoError(t, err)
	})
	t.Run("no assertions", func(t *testing.T) {
		_, err := planned(t, Environment{}, map[string]given{"A": {template: `{"Rules":{"R":{}},"Resources":{"X":` +
			bucket + `}}`}})
		assert.EqualError(t, err, "A Rules.R: a rule needs a list of Assertions")
	})
}

func TestExports_areUnique(t *testing.T) {
	template := `{"Resources":{"X":` + bucket + `},"Outputs":{"O":{"Value":"v","Export":{"Name":"same"}}}}`
	_, err := planned(t, Environment{}, map[string]given{"A": {template: template}, "B": {template: template}})
	assert.EqualError(t, err, `B Outputs.O.Export: stack A exports the name "same", too`)
}
