package assembly

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// evaluated plans two stacks, creates the bucket Data and the custom resource Load, and evaluates a
// property of Topic.
func evaluated(t *testing.T, expression string) (any, error) {
	t.Helper()
	plan, err := planned(t, Environment{}, map[string]given{
		"A": {template: `{"Parameters":{"P":{"Type":"String","Default":"p"},"L":{"Type":"CommaDelimitedList",` +
			`"Default":"l1,l2"},"N":{"Type":"Number","Default":1}},
			"Mappings":{"M":{"us-east-1":{"Name":"one","Names":["a","b"],"Count":3,"Odd":{}}}},
			"Conditions":{"Yes":{"Fn::Equals":["a","a"]},"No":{"Fn::Not":[{"Condition":"Yes"}]}},
			"Resources":{"Data":{"Type":"AWS::S3::Bucket"},"Vpc":{"Type":"AWS::EC2::VPC"},
				"Topic":{"Type":"AWS::SNS::Subscription","Properties":{"V":` + expression + `}},
				"Self":{"Type":"AWS::SNS::Subscription"}},
			"Outputs":{"Own":{"Value":"own","Export":{"Name":"own"}}}}`},
		"B": {env: "aws://unknown-account/eu-west-1",
			template: `{"Resources":{"Far":{"Type":"AWS::S3::Bucket"}},"Outputs":{
			"Name":{"Value":{"Ref":"Far"},"Export":{"Name":{"Fn::Sub":"${AWS::StackName}:Name"}}}}}`},
	})
	if err != nil {
		return nil, err
	}
	require.NoError(t, plan.Created(find(t, plan, "A/Data"),
		Creation{Ref: "data-1", Attributes: map[string]any{"Arn": "arn:aws:s3:::data-1"}}))
	require.NoError(t, plan.Created(find(t, plan, "B/Far"), Creation{Ref: "far-1"}))
	properties, err := plan.Evaluate(find(t, plan, "A/Topic"))
	return properties["V"], err
}

func TestIntrinsics(t *testing.T) {
	tests := map[string]struct {
		expression string
		want       any
	}{
		"plain values": {`[true,1.50,"x",{"k":[]}]`, []any{true, json.Number("1.50"), "x",
			map[string]any{"k": []any{}}}},
		"a condition of a policy is data": {`{"Condition":{"Bool":{"a":"b"}},"Ref":"Data"}`,
			map[string]any{"Condition": map[string]any{"Bool": map[string]any{"a": "b"}}, "Ref": "Data"}},

		"Ref parameter":        {`{"Ref":"P"}`, "p"},
		"Ref list parameter":   {`{"Ref":"L"}`, []any{"l1", "l2"}},
		"Ref resource":         {`{"Ref":"Data"}`, "data-1"},
		"Ref checked resource": {`{"Ref":"Vpc"}`, "checked:A/Vpc"},
		"Ref AWS::Region":      {`{"Ref":"AWS::Region"}`, "us-east-1"},
		"Ref AWS::AccountId":   {`{"Ref":"AWS::AccountId"}`, "000000000000"},
		"Ref AWS::Partition":   {`{"Ref":"AWS::Partition"}`, "aws"},
		"Ref AWS::URLSuffix":   {`{"Ref":"AWS::URLSuffix"}`, "amazonaws.com"},
		"Ref AWS::StackName":   {`{"Ref":"AWS::StackName"}`, "shop-A"},
		"Ref AWS::StackId": {`{"Ref":"AWS::StackId"}`,
			"arn:aws:cloudformation:us-east-1:000000000000:stack/shop-A/7a2bb8d5-771b-5b49-b340-778601a45f8b"},
		"Ref AWS::NotificationARNs": {`{"Ref":"AWS::NotificationARNs"}`, []any{}},
		"Ref AWS::NoValue":          {`{"Ref":"AWS::NoValue"}`, nil},
		"NoValue in a list":         {`[1,{"Ref":"AWS::NoValue"},2]`, []any{json.Number("1"), json.Number("2")}},
		"NoValue in an object":      {`{"a":{"Ref":"AWS::NoValue"},"b":"c"}`, map[string]any{"b": "c"}},

		"GetAtt list form":            {`{"Fn::GetAtt":["Data","Arn"]}`, "arn:aws:s3:::data-1"},
		"GetAtt string form":          {`{"Fn::GetAtt":"Data.Arn"}`, "arn:aws:s3:::data-1"},
		"GetAtt with a computed name": {`{"Fn::GetAtt":["Vpc",{"Ref":"P"}]}`, "checked:A/Vpc.p"},
		"GetAtt with a dotted name":   {`{"Fn::GetAtt":"Vpc.Endpoint.Address"}`, "checked:A/Vpc.Endpoint.Address"},
		"Join": {`{"Fn::Join":["-",["a",1,true,{"Ref":"Data"},{"Ref":"AWS::NoValue"}]]}`,
			"a-1-true-data-1"},
		"Join of a list parameter": {`{"Fn::Join":["",{"Ref":"L"}]}`, "l1l2"},
		"Join of nothing":          {`{"Fn::Join":["-",[]]}`, ""},
		"Sub": {`{"Fn::Sub":"${P}/${Data}/${Data.Arn}/${AWS::Region}/${!P}/$P"}`,
			"p/data-1/arn:aws:s3:::data-1/us-east-1/${P}/$P"},
		"Sub with variables": {`{"Fn::Sub":["${P}-${x.y}-${N}",{"P":"own","x.y":{"Ref":"Data"}}]}`,
			"own-data-1-1"},
		"Select":                {`{"Fn::Select":[1,["a","b"]]}`, "b"},
		"Select by a string":    {`{"Fn::Select":["0",{"Fn::GetAZs":""}]}`, "us-east-1a"},
		"Select by a parameter": {`{"Fn::Select":[{"Ref":"N"},{"Ref":"L"}]}`, "l2"},
		"Split": {`{"Fn::Split":[":",{"Fn::GetAtt":["Data","Arn"]}]}`,
			[]any{"arn", "aws", "s3", "", "", "data-1"}},
		"Select of Split": {`{"Fn::Select":[5,{"Fn::Split":[":",{"Fn::GetAtt":["Data","Arn"]}]}]}`,
			"data-1"},
		"FindInMap":           {`{"Fn::FindInMap":["M",{"Ref":"AWS::Region"},"Name"]}`, "one"},
		"FindInMap list":      {`{"Fn::FindInMap":["M","us-east-1","Names"]}`, []any{"a", "b"}},
		"FindInMap number":    {`{"Fn::FindInMap":["M","us-east-1","Count"]}`, json.Number("3")},
		"GetAZs of the stack": {`{"Fn::GetAZs":""}`, []any{"us-east-1a", "us-east-1b", "us-east-1c"}},
		"GetAZs of a region":  {`{"Fn::GetAZs":{"Ref":"P"}}`, []any{"pa", "pb", "pc"}},
		"Base64":              {`{"Fn::Base64":{"Fn::Sub":"${Data}"}}`, "ZGF0YS0x"},
		"If true":             {`{"Fn::If":["Yes",{"Ref":"Data"},{"Ref":"Gone"}]}`, "data-1"},
		"If false":            {`{"Fn::If":["No",{"Ref":"Gone"},"n"]}`, "n"},
		"ImportValue":         {`{"Fn::ImportValue":"shop-B:Name"}`, "far-1"},
		"GetStackOutput": {`{"Fn::GetStackOutput":{"StackName":"shop-B","Region":"eu-west-1",` +
			`"OutputName":"Name"}}`, "far-1"},
		"dynamic references of AWS's": {`"{{resolve:ssm:/x}}"`, "{{resolve:ssm:/x}}"},
		"intrinsics within intrinsics": {`{"Fn::Join":["",[{"Fn::Sub":["${a}",{"a":{"Fn::Select":[0,{"Fn::Split":[` +
			`"-",{"Ref":"Data"}]}]}}]},{"Fn::If":["No","x","y"]}]]}`, "datay"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := evaluated(t, test.expression)
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestIntrinsics_refused(t *testing.T) {
	const place = "A/Topic Properties.V"
	tests := map[string]struct{ expression, want string }{
		"null": {`null`, place + ": null is no value in a template"},
		"unknown intrinsic": {`{"a":[{"Fn::Cidr":["10.0.0.0/16",2,8]}]}`,
			place + ".a[0].Fn::Cidr: unknown intrinsic Fn::Cidr; known are Fn::Base64,"},
		"unknown in the branch left": {`{"Fn::If":["Yes","a",[{"Fn::Length":[]}]]}`,
			place + ".Fn::If[2][0].Fn::Length: unknown intrinsic Fn::Length"},
		"transform": {`{"Fn::Transform":{"Name":"AWS::Include"}}`,
			"macros and transforms run in AWS only"},
		"condition function": {`{"Fn::Equals":["a","a"]}`,
			"Fn::Equals decides conditions: it may stand in Conditions and Rules only"},
		"intrinsic beside others": {`{"Fn::Join":["",[]],"x":1}`, "Fn::Join stands beside other members"},
		"Ref of no name":          {`{"Ref":[]}`, place + ".Ref: got a list of 0, want a name"},
		"Ref nowhere":             {`{"Ref":"Gone"}`, "no resource or parameter of stack A is called Gone"},
		"Ref unknown pseudo":      {`{"Ref":"AWS::Colour"}`, "unknown pseudo parameter AWS::Colour"},
		"GetAtt nowhere": {`{"Fn::GetAtt":["Gone","Arn"]}`,
			"no resource or parameter of stack A is called Gone"},
		"GetAtt unknown attribute": {`{"Fn::GetAtt":["Data","Colour"]}`,
			"Data (AWS::S3::Bucket) has no attribute Colour here; known are Arn, DomainName, RegionalDomainName"},
		"GetAtt not reported": {`{"Fn::GetAtt":["Data","DomainName"]}`,
			"attribute DomainName of Data (AWS::S3::Bucket) was not reported when it was created"},
		"GetAtt without attribute": {`{"Fn::GetAtt":"Data"}`,
			`want [logical id, attribute] or "logical id.attribute"`},
		"GetAtt with empty attribute": {`{"Fn::GetAtt":["Data",""]}`, `want [logical id, attribute]`},
		"GetAtt of three":             {`{"Fn::GetAtt":["Data","A","B"]}`, "got a list of 3"},
		"GetAtt of no name":           {`{"Fn::GetAtt":[1,"A"]}`, "got 1, want a logical id"},
		"GetAtt by a resource": {`{"Fn::GetAtt":["Vpc",{"Ref":"Data"}]}`,
			"refers to the resource Data: this name must be known before anything is created"},
		"Join without list":            {`{"Fn::Join":["-"]}`, "got a list of 1, want [delimiter, list]"},
		"Join without delimiter":       {`{"Fn::Join":[{"Ref":"P"},[]]}`, "got an object, want a delimiter"},
		"Join of a string":             {`{"Fn::Join":["-","ab"]}`, `got "ab", want a list`},
		"Join of lists":                {`{"Fn::Join":["-",[["a"]]]}`, "element 0 is a list of 1, want a string"},
		"Sub of a number":              {`{"Fn::Sub":1}`, "got 1, want a string, or [string, variables]"},
		"Sub of a list of one":         {`{"Fn::Sub":["a"]}`, "got a list of 1, want a string, or [string, variables]"},
		"Sub of an object":             {`{"Fn::Sub":[{},{}]}`, "got an object, want a string"},
		"Sub with a list of variables": {`{"Fn::Sub":["a",[]]}`, "want an object of variables"},
		"Sub nowhere":                  {`{"Fn::Sub":"${Gone}"}`, "no resource or parameter of stack A is called Gone"},
		"Sub of a list parameter":      {`{"Fn::Sub":"${L}"}`, "${L} is a list of 2, want a string"},
		"Sub of no value": {`{"Fn::Sub":"${AWS::NoValue}"}`,
			"${AWS::NoValue} is AWS::NoValue, want a string"},
		"Sub with a blank": {`{"Fn::Sub":"${P }"}`, "${P }: names hold letters, digits"},
		"Sub not closed":   {`{"Fn::Sub":"a${P"}`, `"${P" is not closed`},
		"Sub variable of a list": {`{"Fn::Sub":["${a}",{"a":[]}]}`,
			place + ".Fn::Sub[1].a: got a list of 0, want a string"},
		"Select beyond": {`{"Fn::Select":[2,["a","b"]]}`,
			`got index "2", want one from 0 to 1: the list has 2 elements`},
		"Select before":    {`{"Fn::Select":[-1,["a","b"]]}`, `got index "-1"`},
		"Select by a word": {`{"Fn::Select":["x",["a"]]}`, `got index "x"`},
		"Select beyond once known": {`{"Fn::Select":[9,{"Fn::Split":[":",{"Ref":"Data"}]}]}`,
			`got index "9", want one from 0 to 0`},
		"Select by a resource": {`{"Fn::Select":[{"Ref":"Data"},["a"]]}`,
			"this name must be known before anything is created"},
		"Split without delimiter": {`{"Fn::Split":["","a"]}`, `got "", want a delimiter`},
		"Split of a list":         {`{"Fn::Split":["-",[]]}`, "got a list of 0, want a string"},
		"FindInMap of two": {`{"Fn::FindInMap":["M","us-east-1"]}`,
			"want [mapping, first key, second key]"},
		"FindInMap unknown mapping": {`{"Fn::FindInMap":["X","us-east-1","Name"]}`,
			`.Fn::FindInMap[0]: Mappings have no mapping "X" on the way X, us-east-1, Name`},
		"FindInMap unknown first key": {`{"Fn::FindInMap":["M","mars","Name"]}`,
			`.Fn::FindInMap[1]: Mappings have no first key "mars"`},
		"FindInMap unknown second key": {`{"Fn::FindInMap":["M","us-east-1","X"]}`,
			`.Fn::FindInMap[2]: Mappings have no second key "X"`},
		"FindInMap of an object": {`{"Fn::FindInMap":["M","us-east-1","Odd"]}`, "Mappings hold an object here"},
		"FindInMap by a resource": {`{"Fn::FindInMap":["M",{"Ref":"Data"},"X"]}`,
			"this name must be known before anything is created"},
		"GetAZs of a list":       {`{"Fn::GetAZs":[]}`, "got a list of 0, want a string"},
		"Base64 of a list":       {`{"Fn::Base64":[]}`, "got a list of 0, want a string"},
		"If of two":              {`{"Fn::If":["Yes","a"]}`, "want [condition, value if true, value if false]"},
		"If unknown condition":   {`{"Fn::If":["Maybe","a","b"]}`, "the template has no condition called Maybe"},
		"If of no name":          {`{"Fn::If":[{"Ref":"P"},"a","b"]}`, "want the name of a condition"},
		"ImportValue nowhere":    {`{"Fn::ImportValue":"x"}`, `no stack of the assembly exports "x"`},
		"ImportValue of its own": {`{"Fn::ImportValue":"own"}`, `the stack imports its own export "own"`},
		"ImportValue by a resource": {`{"Fn::ImportValue":{"Ref":"Data"}}`,
			"this name must be known before anything is created"},
		"GetStackOutput of a string": {`{"Fn::GetStackOutput":"x"}`, "want an object with StackName and OutputName"},
		"GetStackOutput unknown stack": {`{"Fn::GetStackOutput":{"StackName":"B","OutputName":"Name"}}`,
			`the assembly has no stack named "B"`},
		"GetStackOutput no output": {`{"Fn::GetStackOutput":{"StackName":"shop-B","Region":"eu-west-1",` +
			`"OutputName":"X"}}`, `stack shop-B has no output "X"`},
		"GetStackOutput other region": {`{"Fn::GetStackOutput":{"StackName":"shop-B","OutputName":"Name"}}`,
			`got "us-east-1", but stack shop-B lies in eu-west-1`},
		"GetStackOutput own stack": {`{"Fn::GetStackOutput":{"StackName":"shop-A","OutputName":"Own"}}`,
			`the stack reads its own output "Own"`},
		"GetStackOutput other member": {`{"Fn::GetStackOutput":{"StackName":"shop-B","Region":"eu-west-1",` +
			`"OutputName":"Name","RoleArn":"r"}}`,
			".RoleArn: unknown member; known are OutputName, Region and StackName"},
		"GetStackOutput without name": {`{"Fn::GetStackOutput":{"StackName":"shop-B","Region":"eu-west-1"}}`,
			"it has no OutputName"},
		"GetStackOutput without stack": {`{"Fn::GetStackOutput":{"OutputName":"x"}}`, "it has no StackName"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := evaluated(t, test.expression)
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, place)
		})
	}
}

func TestConditions(t *testing.T) {
	tests := map[string]struct {
		expression string
		want       bool
		problem    string
	}{
		"Equals":                     {`{"Fn::Equals":[{"Ref":"P"},"p"]}`, true, ""},
		"Equals not":                 {`{"Fn::Equals":["a","A"]}`, false, ""},
		"Equals compares as strings": {`{"Fn::Equals":[true,"true"]}`, true, ""},
		"Equals of a mapping":        {`{"Fn::Equals":[{"Fn::FindInMap":["M","a","b"]},"c"]}`, true, ""},
		"Not":                        {`{"Fn::Not":[{"Fn::Equals":["a","a"]}]}`, false, ""},
		"Condition":                  {`{"Condition":"Yes"}`, true, ""},
		"And":                        {`{"Fn::And":[{"Condition":"Yes"},{"Condition":"Yes"}]}`, true, ""},
		"And not": {`{"Fn::And":[{"Condition":"Yes"},{"Fn::Not":[{"Condition":"Yes"}]}]}`, false,
			""},
		"Or":         {`{"Fn::Or":[{"Fn::Equals":["a","b"]},{"Condition":"Yes"}]}`, true, ""},
		"Or not":     {`{"Fn::Or":[{"Fn::Equals":["a","b"]},{"Fn::Equals":["a","b"]}]}`, false, ""},
		"And of one": {`{"Fn::And":[{"Condition":"Yes"}]}`, false, "want two to ten conditions"},
		"Or of eleven": {`{"Fn::Or":[1,2,3,4,5,6,7,8,9,10,11]}`, false,
			"got a list of 11, want two to ten conditions"},
		"Not of two": {`{"Fn::Not":[{"Condition":"Yes"},{"Condition":"Yes"}]}`, false,
			"want [condition]"},
		"Not of what is not known": {`{"Fn::Not":[{"Condition":"Gone"}]}`, false,
			"A Conditions.C.Fn::Not[0].Condition: the template has no condition called Gone"},
		"Equals of one":   {`{"Fn::Equals":["a"]}`, false, "want two values"},
		"Equals of lists": {`{"Fn::Equals":[[],"a"]}`, false, "got a list of 0, want a string"},
		"Equals of a resource": {`{"Fn::Equals":[{"Ref":"X"},"a"]}`, false,
			"refers to the resource X: conditions are decided before anything is created"},
		"Equals of an import": {`{"Fn::Equals":[{"Fn::ImportValue":"x"},"a"]}`, false,
			"refers to another stack: conditions are decided before anything is created"},
		"Equals of an output": {`{"Fn::Equals":[{"Fn::GetStackOutput":{}},"a"]}`, false,
			"refers to another stack"},
		"Contains is for rules": {`{"Fn::Contains":[["a"],"a"]}`, false,
			"unknown condition function Fn::Contains; known are Condition, Fn::And, Fn::Equals, Fn::Not and Fn::Or"},
		"another function":     {`{"Fn::If":["Yes","a","b"]}`, false, "unknown condition function Fn::If"},
		"no function":          {`true`, false, "got true, want one condition function"},
		"Condition of no name": {`{"Condition":1}`, false, "got 1, want the name of a condition"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan, err := planned(t, Environment{},
				map[string]given{"A": {template: `{"Parameters":{"P":{"Type":"String","Default":"p"}},` +
					`"Mappings":{"M":{"a":{"b":"c"}}},
				"Conditions":{"Yes":{"Fn::Equals":["a","a"]},"C":` + test.expression + `},
				"Resources":{"X":{"Type":"AWS::S3::Bucket","Condition":"C"},"Y":{"Type":"AWS::S3::Bucket"}}}`}})
			if test.problem != "" {
				assert.ErrorContains(t, err, test.problem)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, len(plan.Resources()) == 2)
		})
	}
}
