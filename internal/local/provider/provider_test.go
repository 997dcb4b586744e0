package provider

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

// form is the typed resource that a provider makes.
func form(p provider) reflect.Type {
	check, _ := reflect.TypeOf(p).FieldByName("create")
	return check.Type.In(3).Elem()
}

// unpaired tells which types run without a provider of their typed form, and which providers make
// what does not run.
func unpaired(running map[string]reflect.Type, providers []provider) (problems []string) {
	made := map[string]reflect.Type{}
	for _, one := range providers {
		for _, name := range one.made() {
			if _, twice := made[name]; twice {
				problems = append(problems, name+" is made twice")
			}
			made[name] = form(one)
		}
	}
	for name, typed := range running {
		switch {
		case made[name] == nil:
			problems = append(problems, name+" runs and nothing makes it")
		case made[name] != typed:
			problems = append(problems, name+" is made of another form")
		}
	}
	for name := range made {
		if running[name] == nil {
			problems = append(problems, name+" is made and does not run")
		}
	}
	slices.Sort(problems)
	return problems
}

func TestEveryTypeThatRunsHasItsProvider(t *testing.T) {
	running := assembly.TypesThatRun()
	assert.Empty(t, unpaired(running, providers))

	t.Run("a breach is told", func(t *testing.T) {
		withoutTable := slices.DeleteFunc(slices.Clone(providers), func(one provider) bool {
			return form(one) == reflect.TypeFor[assembly.Table]()
		})
		assert.Equal(t, []string{"AWS::DynamoDB::GlobalTable runs and nothing makes it"},
			unpaired(running, withoutTable))
		retired := maps.Clone(running)
		delete(retired, "AWS::Kinesis::Stream")
		assert.Equal(t, []string{"AWS::Kinesis::Stream is made and does not run"}, unpaired(retired, providers))
		changed := maps.Clone(running)
		changed["Custom::"] = reflect.TypeFor[assembly.Function]()
		assert.Equal(t, []string{"Custom:: is made of another form"}, unpaired(changed, providers))
		assert.Equal(t, []string{"AWS::S3::Bucket is made twice"},
			unpaired(running, append(slices.Clone(providers), bucket)))
	})
}

func TestProvidersNeedEnginesThatAreListed(t *testing.T) {
	for _, one := range providers {
		for _, needed := range one.needed() {
			assert.Contains(t, engine.All, needed, one.made())
		}
	}
}

// Resources of a template that a laptop can run.
const (
	code = `"Code":{"S3Bucket":"assets","S3Key":"abc.zip"},"Handler":"bootstrap",
		"Runtime":"provided.al2023","Role":"r"`
	oneStream = `{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":1}}`
	oneBucket = `{"Type":"AWS::S3::Bucket"}`
)

func jobOf(source, more string) string {
	return `{"Type":"AWS::Glue::Job","Metadata":{"diecast:source":"` + source + `"},"Properties":{
		"GlueVersion":"5.1","Role":"r","Command":{"Name":"glueetl","ScriptLocation":"s3://assets/abc.zip"}` + more +
		`}}`
}

func databaseOf(engine string) string {
	return `{"Type":"AWS::RDS::DBInstance","Properties":{
		"Engine":"` + engine + `","MasterUsername":"admin","ManageMasterUserPassword":true}}`
}

func functionOf(source, more string) string {
	return `{"Type":"AWS::Lambda::Function","Metadata":{"diecast:source":"` + source + `"},
		"Properties":{` + code + more + `}}`
}

// plan plans a stack A with these resources, checked by the providers.
func plan(t *testing.T, resources string) (*assembly.Plan, error) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"manifest.json": `{"version":"54.0.0","artifacts":{
			"Assets":{"type":"cdk:asset-manifest","properties":{"file":"assets.json"}},
			"A":{"type":"aws:cloudformation:stack","properties":{"templateFile":"A.json","stackName":"shop-A"}}}}`,
		"assets.json": `{"files":{"abc":{"source":{"path":"abc.zip"},
			"destinations":{"x":{"bucketName":"assets","objectKey":"abc.zip"}}}}}`,
		"abc.zip": "",
		"A.json":  `{"Resources":` + resources + `}`,
	} {
		require.True(t, name != "A.json" || json.Valid([]byte(text)), text)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	assembled, err := assembly.Read(folder)
	require.NoError(t, err)
	return assembled.Plan(assembly.Environment{}, Check(t.Context(), Options{Source: "../../..", Dir: folder}))
}

// installed lets the engines' packages be found from a test's folder, where they are installed at
// all.
func installed(t *testing.T, modules, python string) {
	t.Helper()
	t.Setenv("DIECAST_NODE_MODULES", modules)
	t.Setenv("DIECAST_PYTHON", python)
}

// everything pretends that every engine is installed: these checks start none.
func everything(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"kinesalite", "dynalite"} {
		require.NoError(t, os.MkdirAll(filepath.Join(folder, "modules", name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "modules", name, "package.json"), []byte("{}"), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(folder, "bin"), 0o700))
	for _, name := range []string{"python", "node", "postgres", "initdb", "mariadbd", "go"} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, "bin", name), []byte("#!/bin/sh\n"), 0o700))
	}
	installed(t, filepath.Join(folder, "modules"), filepath.Join(folder, "bin", "python"))
	t.Setenv("DIECAST_POSTGRES_BIN", filepath.Join(folder, "bin"))
	t.Setenv("DIECAST_MARIADB_BIN", filepath.Join(folder, "bin"))
	glueHome := filepath.Join(folder, "cache")
	for _, name := range []string{"jdbc", "s3a"} {
		require.NoError(t, os.MkdirAll(filepath.Join(glueHome, "glue-jars-1", name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(glueHome, "glue-jars-1", name, "x.jar"), nil, 0o600))
	}
	packages := filepath.Join(folder, "bin", "glue-python")
	require.NoError(t, os.WriteFile(packages, []byte("#!/bin/sh\nprintf 'pyspark=p\\nboto3=b\\njdk4py=j\\n'\n"), 0o700))
	t.Setenv("DIECAST_CACHE", glueHome)
	t.Setenv("DIECAST_GLUE_PYTHON", packages)
	t.Setenv("PATH", filepath.Join(folder, "bin")+":"+os.Getenv("PATH"))
}

func TestCheck_refusesBeforeAnythingStarts(t *testing.T) {
	everything(t)
	alone := func(resource string) string { return `{"X":` + resource + `}` }
	function := func(more string) string { return alone(functionOf("lambda/deliver", more)) }
	delivery := func(prefix string) string {
		return `{"S":` + oneStream + `,"B":` + oneBucket + `,
			"X":{"Type":"AWS::KinesisFirehose::DeliveryStream","Properties":{
			"DeliveryStreamType":"KinesisStreamAsSource",
			"KinesisStreamSourceConfiguration":{"KinesisStreamARN":{"Fn::GetAtt":["S","Arn"]}},
			"ExtendedS3DestinationConfiguration":{"BucketARN":{"Fn::GetAtt":["B","Arn"]},
				"Prefix":"` + prefix + `","ErrorOutputPrefix":"errors/!{firehose:error-output-type}/"}}}}`
	}
	mapping := func(source, destination string) string {
		return alone(`{"Type":"AWS::Lambda::EventSourceMapping","Properties":{
			"EventSourceArn":"` + source + `","FunctionName":"f","StartingPosition":"LATEST",
			"DestinationConfig":{"OnFailure":{"Destination":"` + destination + `"}}}}`)
	}
	const stream, kept = "arn:aws:kinesis:us-east-1:1:stream/s", "arn:aws:s3:::kept"
	streams := func(first, second string) string {
		return `{"S":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":` + first + `}},
			"X":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":` + second + `}}}`
	}
	functions := func(name string) string {
		return `{"F":` + functionOf("lambda/deliver", `,"FunctionName":"deliver"`) + `,
			"X":` + functionOf("lambda/deliver", `,"FunctionName":"`+name+`"`) + `}`
	}
	url := func(target string) string {
		return `{"F":` + functionOf("lambda/deliver", `,"FunctionName":"deliver"`) + `,
			"X":{"Type":"AWS::Lambda::Url","Properties":{"AuthType":"NONE","TargetFunctionArn":"` + target + `"}}}`
	}
	bucketOf := func(name string) string {
		return alone(`{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"` + name + `"}}`)
	}
	table := func(key, indexed string) string {
		schema := func(sort string) string {
			return `"KeySchema":[{"AttributeName":"id","KeyType":"HASH"},
				{"AttributeName":"` + sort + `","KeyType":"RANGE"}]`
		}
		return alone(`{"Type":"AWS::DynamoDB::GlobalTable","Properties":{"BillingMode":"PAY_PER_REQUEST",
			"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},
				{"AttributeName":"at","AttributeType":"N"}],
			"Replicas":[{"Region":{"Ref":"AWS::Region"}}],` + schema(key) + `,"GlobalSecondaryIndexes":[
			{"IndexName":"by-time","Projection":{"ProjectionType":"ALL"},` + schema(indexed) + `}]}}`)
	}
	secret := func(generate string) string {
		return alone(`{"Type":"AWS::SecretsManager::Secret","Properties":{"GenerateSecretString":{` + generate + `}}}`)
	}
	machine := func(state string) string {
		return `{"Type":"AWS::StepFunctions::StateMachine","Properties":{"RoleArn":"r","DefinitionString":` +
			strconv.Quote(`{"StartAt":"A","States":{"A":`+state+`}}`) + `}}`
	}
	// telling has a place in a text with values, for a name that is not known before the run.
	telling := func(name string) string {
		return `{"B":` + oneBucket + `,"X":{"Type":"AWS::StepFunctions::StateMachine","Properties":{"RoleArn":"r",` +
			`"DefinitionSubstitutions":{"` + name + `":{"Ref":"B"}},"DefinitionString":` +
			strconv.Quote(`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"told.$":`+
				`"States.StringToJson('${Key}')"},"End":true}}}`) + `}}}`
	}
	calling := func(resource string) string {
		return machine(`{"Type":"Task","Resource":"arn:aws:states:::` + resource + `","End":true}`)
	}
	variable := func(name string) string { return function(`,"Environment":{"Variables":{"` + name + `":"mars"}}`) }
	tests := map[string]struct{ accepted, refused, want string }{
		"a database engine that is not there": {
			alone(databaseOf("mysql")), alone(databaseOf("oracle-se2")),
			`A/X Properties.Engine: got "oracle-se2", want mysql or postgres`,
		},
		"a function that may not run": {
			function(`,"ReservedConcurrentExecutions":1`), function(`,"ReservedConcurrentExecutions":0`),
			"A/X Properties.ReservedConcurrentExecutions: got 0, want at least 1",
		},
		"a reserved variable": {
			variable("REGION"), variable("AWS_REGION"),
			"A/X Properties: environment variable AWS_REGION is reserved",
		},
		"a function without source": {
			function(""), alone(functionOf("lambda/gone", "")),
			"A/X Metadata: is built from lambda/gone, and there is no folder",
		},
		"a function of a file": {
			function(""), alone(functionOf("main.go", "")),
			"A/X Metadata: is built from main.go, and there is no folder",
		},
		"a job without script": {
			alone(jobOf("glue-scripts/ratings_etl.py", "")), alone(jobOf("glue-scripts/gone.py", "")),
			"A/X Metadata: runs glue-scripts/gone.py, and there is no file",
		},
		"a job of a folder": {
			alone(jobOf("glue-scripts/ratings_etl.py", "")), alone(jobOf("glue-scripts", "")),
			"A/X Metadata: runs glue-scripts, and there is no file",
		},
		"a Spark setting that is none": {
			alone(jobOf("glue-scripts/ratings_etl.py",
				`,"DefaultArguments":{"--conf":"spark.a=1 --conf spark.b=c d"}`)),
			alone(jobOf("glue-scripts/ratings_etl.py", `,"DefaultArguments":{"--conf":"spark.a=1 --conf b=2"}`)),
			`A/X Properties: argument --conf has "b=2"`,
		},
		"a prefix of another expression": {
			delivery("!{timestamp:yyyy}/"), delivery("!{moon:phase}/"),
			"A/X Properties.ExtendedS3DestinationConfiguration: delivery stream",
		},
		"failures to a queue": {
			mapping(stream, kept), mapping(stream, "arn:aws:sqs:us-east-1:1:q"),
			`A/X Properties.DestinationConfig.OnFailure.Destination: got "arn:aws:sqs:us-east-1:1:q", want the ARN`,
		},
		"a mapping of what is no stream": {
			mapping(stream, kept), mapping("arn:aws:sqs:us-east-1:1:q", kept),
			`A/X Properties: event source mapping: StreamARN "arn:aws:sqs:us-east-1:1:q" is no ARN of a Kinesis stream`,
		},
		"more shards than a server has": {
			alone(`{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":1000}}`),
			alone(`{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":1001}}`),
			"A/X Properties.ShardCount: got 1001, which makes 1001",
		},
		"more shards than a server has, in two streams": {
			streams("600", "400"), streams("600", "401"),
			"A/X Properties.ShardCount: got 401, which makes 1001 with the streams before it, want at most 1000",
		},
		"two functions of a name": {
			functions("other"), functions("deliver"),
			`A/X Properties.FunctionName: got "deliver", which is the name of A/F`,
		},
		"a function of a folder without Go files": {
			function(""), alone(functionOf("lambda", "")),
			"A/X Metadata: is built from lambda, and the folder ../../../lambda has no Go files",
		},
		"a URL of no function": {
			url("deliver"), url("arn:aws:lambda:us-east-1:000000000000:function:gone"),
			`A/X Properties.TargetFunctionArn: got "arn:aws:lambda:us-east-1:000000000000:function:gone"`,
		},
		"a table with one attribute as both keys": {
			table("at", "at"), table("id", "at"),
			`A/X Properties.KeySchema: got "id" as both HASH and RANGE`,
		},
		"an index with one attribute as both keys": {
			table("at", "at"), table("at", "id"),
			`A/X Properties.GlobalSecondaryIndexes[0].KeySchema: got "id" as both HASH and RANGE`,
		},
		"a bucket's name with capitals": {
			bucketOf("my.bucket-1"), bucketOf("My.bucket-1"), `A/X Properties.BucketName: got "My.bucket-1"`,
		},
		"a bucket's name that ends in a hyphen": {
			bucketOf("abc"), bucketOf("ab-"), `A/X Properties.BucketName: got "ab-"`,
		},
		"a bucket's name that is too long": {
			bucketOf(strings.Repeat("x", 63)), bucketOf(strings.Repeat("x", 64)), "A/X Properties.BucketName: got",
		},
		"a state machine with a state that is not interpreted": {
			alone(machine(`{"Type":"Succeed"}`)), alone(machine(`{"Type":"Parallel","Branches":[],"End":true}`)),
			`A/X Properties.DefinitionString: state A.Type: got "Parallel", want Task, Pass`,
		},
		"a state machine with a path that is not interpreted": {
			alone(machine(`{"Type":"Succeed","InputPath":"$.a.b"}`)),
			alone(machine(`{"Type":"Succeed","InputPath":"$.a[0]"}`)),
			"A/X Properties.DefinitionString: state A.InputPath: ",
		},
		"a state machine with a place that nothing fills": {
			telling("Key"), telling("Other"),
			"A/X Properties.DefinitionString: has ${Key}, and DefinitionSubstitutions has nothing for it",
		},
		"a state machine that calls what it cannot": {
			alone(calling("aws-sdk:s3:getObject")), alone(calling("aws-sdk:s3:deleteObject")),
			"A/X Properties.DefinitionString: state A.Resource: ",
		},
		"a state machine that calls a job where there is none": {
			`{"J":` + jobOf("glue-scripts/ratings_etl.py", "") + `,"X":` + calling("glue:startJobRun.sync") + `}`,
			alone(calling("glue:startJobRun.sync")),
			"A/X Properties.DefinitionString: calls Glue, and nothing in these templates is served by it",
		},
		"a state machine that calls a function where there is none": {
			`{"F":` + functionOf("lambda/deliver", "") + `,"X":` + calling("lambda:invoke") + `}`,
			alone(calling("lambda:invoke")),
			"A/X Properties.DefinitionString: calls Lambda, and nothing",
		},
		"a password that cannot be": {
			secret(`"PasswordLength":4`), secret(`"PasswordLength":3`),
			"A/X Properties.GenerateSecretString: a password of 3 characters out of 4 kinds",
		},
		"a template that is no JSON": {
			secret(`"SecretStringTemplate":"{}","GenerateStringKey":"p"`),
			secret(`"SecretStringTemplate":"{","GenerateStringKey":"p"`),
			"A/X Properties.GenerateSecretString: SecretStringTemplate is no JSON object",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := plan(t, test.accepted)
			require.NoError(t, err)
			_, err = plan(t, test.refused)
			var problems assembly.Problems
			require.ErrorAs(t, err, &problems)
			assert.Len(t, problems, 1)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

// What the assembly refuses and what the engines refuse is one list.
func TestCheck_joinsTheAssemblysOwnProblems(t *testing.T) {
	everything(t)
	_, err := plan(t, `{"Odd":{"Type":"AWS::Quantum::Computer"},
		"S":{"Type":"AWS::Kinesis::Stream","Properties":{"ShardCount":0}},"D":`+databaseOf("oracle-se2")+`}`)
	var problems assembly.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 3)
	for i, place := range []string{"A/D Properties.Engine: ", "A/Odd Type: ", "A/S Properties.ShardCount: "} {
		assert.True(t, strings.HasPrefix(problems[i].Error(), place), problems[i])
	}
}

// A function whose name is made with another resource may be the one that a URL names.
func TestCheck_acceptsAURLOfAFunctionThatIsNamedLater(t *testing.T) {
	everything(t)
	functionAndURL := func(name string) string {
		return `{"B":` + oneBucket + `,"F":` + functionOf("lambda/deliver", name) + `,
			"X":{"Type":"AWS::Lambda::Url","Properties":{"AuthType":"NONE","TargetFunctionArn":"deliver"}}}`
	}
	_, err := plan(t, functionAndURL(`,"FunctionName":{"Ref":"B"}`))
	require.NoError(t, err)
	_, err = plan(t, functionAndURL(`,"Environment":{"Variables":{"BUCKET":{"Ref":"B"}}}`))
	assert.ErrorContains(t, err, "A/X Properties.TargetFunctionArn", "a name of the laptop's own is no template's")
}

// Whatever is not installed is told with the resource that needs it, once, before anything starts.
func TestCheck_whatIsNotInstalled(t *testing.T) {
	empty := t.TempDir()
	all := `{"S1":` + oneStream + `,"S2":` + oneStream + `,"B":` + oneBucket + `,"D":` + databaseOf("postgres") + `}`
	everything(t)
	_, err := plan(t, all)
	require.NoError(t, err)

	installed(t, empty, filepath.Join(empty, "python"))
	t.Setenv("DIECAST_POSTGRES_BIN", empty)
	_, err = plan(t, all)
	var problems assembly.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 3)
	starts := []string{"A/B: needs moto: ", "A/D: PostgreSQL is not installed", "A/S1: needs kinesalite: "}
	for i, start := range starts {
		assert.True(t, strings.HasPrefix(problems[i].Error(), start), problems[i])
		assert.Contains(t, problems[i].Error(), "make setup")
	}
	assert.NotContains(t, err.Error(), "dynalite", "nothing needs it")
}

// A run may be started from any folder: its packages are those of its source.
func TestCheck_looksForPackagesInTheSource(t *testing.T) {
	everything(t)
	module, elsewhere := t.TempDir(), t.TempDir()
	packages := filepath.Join(module, "node_modules", "kinesalite")
	require.NoError(t, os.MkdirAll(packages, 0o700))
	for _, file := range []string{filepath.Join(module, "go.mod"), filepath.Join(packages, "package.json")} {
		require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	}
	t.Setenv("DIECAST_NODE_MODULES", "")
	t.Chdir(elsewhere)
	check := func(source string) error {
		return engine.Kinesalite.Installed(t.Context(), source)
	}
	require.NoError(t, check(module))
	require.ErrorContains(t, check(elsewhere), "no go.mod in "+elsewhere)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "manifest.json"),
		[]byte(`{"version":"54.0.0","artifacts":{"A":{"type":"aws:cloudformation:stack",
			"environment":"aws://unknown-account/unknown-region","properties":{"templateFile":"A.json"}}}}`), 0o600))
	template := []byte(`{"Resources":{"S":` + oneStream + `}}`)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "A.json"), template, 0o600))
	assembled, err := assembly.Read(folder)
	require.NoError(t, err)
	for source, problem := range map[string]bool{module: false, elsewhere: true} {
		_, err := assembled.Plan(assembly.Environment{}, Check(t.Context(), Options{Source: source, Dir: folder}))
		assert.Equal(t, problem, err != nil, "%v", err)
	}
}

func TestCheck_aPythonWithoutTheModule(t *testing.T) {
	everything(t)
	python := filepath.Join(t.TempDir(), "python")
	require.NoError(t, os.WriteFile(python, []byte("#!/bin/sh\nexit 1\n"), 0o700))
	t.Setenv("DIECAST_PYTHON", python)
	_, err := plan(t, `{"B":`+oneBucket+`}`)
	assert.ErrorContains(t, err, "A/B: needs moto: the Python package moto is not installed: run `make setup`")
}

func TestNeeded(t *testing.T) {
	everything(t)
	names := func(resources string) (all []string) {
		made, err := plan(t, resources)
		require.NoError(t, err)
		for _, one := range Needed(made) {
			all = append(all, one.Name())
		}
		return all
	}
	assert.Empty(t, names(`{"T":{"Type":"AWS::SNS::Subscription"}}`), "what is only checked needs none")
	assert.Equal(t, []string{"kinesalite"}, names(`{"S":`+oneStream+`}`))
	assert.Equal(t, []string{"moto", "kinesalite"}, names(`{"S":`+oneStream+`,"B":`+oneBucket+`}`))
	assert.Equal(t, []string{"moto", "glue"}, names(`{"J":`+jobOf("glue-scripts/ratings_etl.py", "")+`}`))
	assert.Equal(t, []string{"moto"}, names(`{"T":{"Type":"AWS::SNS::Topic"}}`))
	assert.Equal(t, []string{"moto", "stepfunctions"}, names(`{"M":{"Type":"AWS::StepFunctions::StateMachine",`+
		`"Properties":{"RoleArn":"r","DefinitionString":"{\"StartAt\":\"A\",`+
		`\"States\":{\"A\":{\"Type\":\"Succeed\"}}}"}}}`))
	assert.Equal(t, []string{"moto", "lambda"}, names(`{"F":`+functionOf("lambda/deliver", "")+`}`),
		"a function never calls AWS itself")
}

func TestPhysicalName(t *testing.T) {
	resource := &assembly.Resource{Stack: &assembly.Stack{Name: "diecast-Streaming"}, LogicalID: "Events1234"}
	assert.Equal(t, "mine", physicalName(resource, "mine"), "the template's name rules")
	made := physicalName(resource, "")
	assert.True(t, strings.HasPrefix(made, "diecast-Streaming-Events1234-"), made)
	assert.NotEqual(t, made, physicalName(resource, ""), "two runs must not meet")
}

func TestBucketName(t *testing.T) {
	resource := &assembly.Resource{Stack: &assembly.Stack{Name: "Shop-A"}, LogicalID: strings.Repeat("Long", 20)}
	assert.Equal(t, "My-"+resource.LogicalID, bucketName(resource, "My-"+resource.LogicalID),
		"the template's name is refused or taken, never changed")
	assert.Regexp(t, bucketNames, bucketName(resource, ""))
}

func TestSecretValue(t *testing.T) {
	text, err := secretValue(&assembly.Secret{Length: 12, Template: `{"username":"glue"}`, Key: "password"})
	require.NoError(t, err)
	var value map[string]string
	require.NoError(t, json.Unmarshal([]byte(text), &value))
	assert.Equal(t, "glue", value["username"])
	assert.Len(t, value["password"], 12)
	assert.Len(t, value, 2)

	text, err = secretValue(&assembly.Secret{
		Length: 8, WithoutDigits: true, WithoutLowercase: true, WithoutPunctuation: true, Without: "Z",
	})
	require.NoError(t, err)
	assert.Regexp(t, "^[A-Y]{8}$", text)
}

func TestMade_findsWhatWasKeptByType(t *testing.T) {
	run := &Run{}
	first, second := &Consumer{}, &Consumer{}
	keep(run, first)
	keep(run, &Delivery{})
	keep(run, second)
	assert.Equal(t, []*Consumer{first, second}, Made[*Consumer](run))
	assert.Len(t, Made[*Delivery](run), 1)
	assert.Empty(t, Made[Function](run))
}
