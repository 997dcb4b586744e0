package provider

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/server/servertest"
)

// start is a run with these engines, until the test ends.
func start(t *testing.T, needed ...engine.Engine) *Run {
	t.Helper()
	servertest.Needed(t, "an engine")
	folder := t.TempDir()
	engines, err := engine.Start(t.Context(), needed, engine.Options{Dir: folder})
	require.NoError(t, err)
	run := NewRun(Options{Source: "../../..", Dir: folder}, engines)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		assert.NoError(t, errors.Join(run.Stop(ctx), engines.Stop(ctx)))
	})
	return run
}

// resource of a stack, without properties: tests give the typed form.
func resource(kind, id string) *assembly.Resource {
	return &assembly.Resource{Stack: &assembly.Stack{ID: "A", Name: "shop-A"}, LogicalID: id, Type: kind}
}

func create(t *testing.T, run *Run, kind, id string, typed any) assembly.Creation {
	t.Helper()
	creation, err := run.Create(t.Context(), resource(kind, id), typed)
	require.NoError(t, err)
	return creation
}

func TestBucket(t *testing.T) {
	run := start(t, engine.Moto)
	client := engine.Moto.In(run.Engines).S3()
	versions := func(name string) s3types.BucketVersioningStatus {
		state, err := client.GetBucketVersioning(t.Context(), &s3.GetBucketVersioningInput{Bucket: &name})
		require.NoError(t, err)
		return state.Status
	}
	plain := create(t, run, "AWS::S3::Bucket", "Data", &assembly.Bucket{})
	assert.Regexp(t, "^shop-a-data-[0-9a-f]{8}$", plain.Ref)
	assert.Equal(t, "arn:aws:s3:::"+plain.Ref, plain.Attributes["Arn"])
	assert.True(t, strings.HasPrefix(plain.Attributes["DomainName"].(string), plain.Ref+".127.0.0.1:"))
	assert.Equal(t, plain.Attributes["DomainName"], plain.Attributes["RegionalDomainName"])
	assert.Empty(t, versions(plain.Ref))

	kept := create(t, run, "AWS::S3::Bucket", strings.Repeat("Long", 20), &assembly.Bucket{Versioned: true})
	assert.Len(t, kept.Ref, 63, "the longest name that S3 takes")
	assert.Equal(t, s3types.BucketVersioningStatusEnabled, versions(kept.Ref))
	exact := strings.Repeat("x", 63)
	assert.Equal(t, exact, create(t, run, "AWS::S3::Bucket", "B", &assembly.Bucket{Name: exact}).Ref)
}

func TestSecret(t *testing.T) {
	run := start(t, engine.Moto)
	creation := create(t, run, "AWS::SecretsManager::Secret", "Login", &assembly.Secret{Name: "login", Length: 9})
	assert.Contains(t, creation.Ref, ":secret:login-")
	assert.Equal(t, creation.Ref, creation.Attributes["Id"])
	assert.Len(t, value(t, run, creation.Ref), 9)

	_, err := run.Create(t.Context(), resource("AWS::SecretsManager::Secret", "None"), &assembly.Secret{})
	var problems assembly.Problems
	require.ErrorAs(t, err, &problems, "what is known only when the resource is made is checked, too")
	_, err = run.Create(t.Context(), resource("AWS::SecretsManager::Secret", "Odd"), &assembly.Bucket{})
	assert.ErrorContains(t, err, "A/Odd: is decoded as *assembly.Bucket: its provider makes *assembly.Secret")
}

// value of a secret.
func value(t *testing.T, run *Run, arn string) string {
	t.Helper()
	client := engine.Moto.In(run.Engines).SecretsManager()
	secret, err := client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &arn})
	require.NoError(t, err)
	return *secret.SecretString
}

func TestStreamConsumer_isTheStreamByAnotherName(t *testing.T) {
	run := NewRun(Options{Source: "../../..", Dir: t.TempDir()}, nil)
	const of = "arn:aws:kinesis:us-east-1:000000000000:stream/s"
	creation := create(t, run, "AWS::Kinesis::StreamConsumer", "FanOut", &assembly.StreamConsumer{Name: "deliver",
		StreamARN: of})
	assert.Regexp(t, "^"+of+`/consumer/deliver:\d{10}$`, creation.Ref)
	assert.Equal(t, creation.Ref, creation.Attributes["ConsumerARN"])
	assert.Equal(t, "s", mapping("u", &assembly.EventSourceMapping{SourceARN: creation.Ref, Function: "f"}).Stream())
}

func TestStream(t *testing.T) {
	run := start(t, engine.Kinesalite)
	for hours, want := range map[int]int32{24: 24, 48: 48} {
		id := "Hours" + strconv.Itoa(hours)
		creation := create(t, run, "AWS::Kinesis::Stream", id, &assembly.Stream{
			Shards: 2, Retention: time.Duration(hours) * time.Hour,
		})
		assert.Contains(t, creation.Attributes["Arn"], ":stream/"+creation.Ref)
		described, err := engine.Kinesalite.In(run.Engines).Client().DescribeStreamSummary(t.Context(),
			&kinesis.DescribeStreamSummaryInput{StreamName: &creation.Ref})
		require.NoError(t, err)
		assert.Equal(t, want, *described.StreamDescriptionSummary.RetentionPeriodHours)
		assert.EqualValues(t, 2, *described.StreamDescriptionSummary.OpenShardCount)
	}
	_, err := run.Create(t.Context(), resource("AWS::Kinesis::Stream", "Again"), &assembly.Stream{Shards: 0})
	assert.ErrorContains(t, err, "A/Again (AWS::Kinesis::Stream): create stream")
}

func TestTable(t *testing.T) {
	run := start(t, engine.Dynalite)
	creation := create(t, run, "AWS::DynamoDB::GlobalTable", "Rows", &assembly.Table{
		AttributeTypes: map[string]string{"id": "S", "at": "N"},
		Key:            assembly.TableKey{PartitionKey: "id", SortKey: "at"},
		Indexes: []assembly.TableIndex{{
			Name: "by-time", Key: assembly.TableKey{PartitionKey: "at"},
			Projection: "INCLUDE", NonKeyAttributes: []string{"x"},
		}},
	})
	assert.Equal(t, "arn:aws:dynamodb:us-east-1:000000000000:table/"+creation.Ref, creation.Attributes["Arn"])
	described, err := engine.Dynalite.In(run.Engines).Client().DescribeTable(t.Context(),
		&dynamodb.DescribeTableInput{TableName: &creation.Ref})
	require.NoError(t, err)
	require.Len(t, described.Table.KeySchema, 2)
	assert.Equal(t, "at", *described.Table.KeySchema[1].AttributeName)
	require.Len(t, described.Table.GlobalSecondaryIndexes, 1)
	index := described.Table.GlobalSecondaryIndexes[0]
	assert.Equal(t, "by-time", *index.IndexName)
	assert.Len(t, index.KeySchema, 1)
	assert.Equal(t, []string{"x"}, index.Projection.NonKeyAttributes)
}

// instance is a database server that notes the passwords that it is given.
type instance struct {
	port      int
	passwords map[string]string
	refuses   error
	exited    chan struct{}
	ended     error
}

func (i *instance) Port() int              { return i.port }
func (i *instance) MasterPassword() string { return "master" }
func (i *instance) SetPassword(_ context.Context, user, password string) error {
	i.passwords[user] = password
	return i.refuses
}
func (i *instance) Stop(context.Context) error { return nil }
func (i *instance) Exited() <-chan struct{}    { return i.exited }
func (i *instance) Err() error                 { return i.ended }
func (i *instance) LogFile() string            { return "the.log" }

func TestDatabase(t *testing.T) {
	run := start(t, engine.Moto)
	served := &instance{port: 5433, passwords: map[string]string{}, exited: make(chan struct{})}
	before := databaseServers
	t.Cleanup(func() { databaseServers = before })
	databaseServers = map[string]databaseServer{"test": {
		installed: func(context.Context) error { return nil },
		start: func(context.Context, *Run, *assembly.Resource, *assembly.Database) (databaseInstance, error) {
			return served, nil
		},
	}}
	named := create(t, run, "AWS::RDS::DBInstance", "N", &assembly.Database{Engine: "test", Identifier: "shop"})
	assert.Equal(t, "shop", named.Ref)
	creation := create(t, run, "AWS::RDS::DBInstance", "D", &assembly.Database{Engine: "test", MasterUser: "admin"})
	assert.Equal(t, "127.0.0.1", creation.Attributes["Endpoint.Address"])
	assert.Equal(t, "5433", creation.Attributes["Endpoint.Port"])
	assert.Equal(t, creation.Ref, creation.Attributes["DbiResourceId"])
	assert.Equal(t, "arn:aws:rds:us-east-1:000000000000:db:"+creation.Ref, creation.Attributes["DBInstanceArn"])
	arn := creation.Attributes["MasterUserSecret.SecretArn"].(string)
	assert.Contains(t, arn, ":secret:rds!"+creation.Ref)
	assert.JSONEq(t, `{"username":"admin","password":"master"}`, value(t, run, arn))

	t.Run("a function that logs in to none keeps its environment", func(t *testing.T) {
		given := map[string]string{"STREAM": "s", "DATABASE_AUTH": "iam"}
		changed, err := databaseEnvironment(t.Context(), run, given)
		require.NoError(t, err)
		assert.Equal(t, given, changed)
	})
	t.Run("one that logs in by a secret goes without TLS, and so without authorities", func(t *testing.T) {
		given := map[string]string{
			"DATABASE_HOST": "h", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "arn",
			"DATABASE_TLS": "verify-full", "DATABASE_CA_FILE": "/var/task/authorities.pem", "DATABASE_GENERATION": "2",
		}
		changed, err := databaseEnvironment(t.Context(), run, given)
		require.NoError(t, err)
		assert.Equal(t, map[string]string{
			"DATABASE_HOST": "h", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": "arn", "DATABASE_TLS": "off",
			"DATABASE_GENERATION": "2",
		}, changed)
		assert.Equal(t, "verify-full", given["DATABASE_TLS"], "the template's own stays as it is")
	})
	byIAM := map[string]string{"DATABASE_HOST": "h", "DATABASE_PORT": "5433", "DATABASE_USER": "reader",
		"DATABASE_AUTH": "iam"}
	t.Run("one that logs in by IAM gets a password, the same for all of its user", func(t *testing.T) {
		changed, err := databaseEnvironment(t.Context(), run, byIAM)
		require.NoError(t, err)
		assert.Equal(t, "secret", changed["DATABASE_AUTH"])
		assert.JSONEq(t, `{"username":"reader","password":"`+served.passwords["reader"]+`"}`,
			value(t, run, changed["DATABASE_SECRET_ARN"]))
		again, err := databaseEnvironment(t.Context(), run, byIAM)
		require.NoError(t, err)
		assert.Equal(t, changed, again)
	})
	t.Run("a second login gets its own password, and what both share stays said once", func(t *testing.T) {
		given := map[string]string{
			"DATABASE_HOST": "h", "DATABASE_PORT": "5433", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": arn,
			"READER_DATABASE_AUTH": "iam", "READER_DATABASE_USER": "etl",
		}
		changed, err := databaseEnvironment(t.Context(), run, given)
		require.NoError(t, err)
		second := changed["READER_DATABASE_SECRET_ARN"]
		assert.Equal(t, map[string]string{
			"DATABASE_HOST": "h", "DATABASE_PORT": "5433", "DATABASE_AUTH": "secret", "DATABASE_SECRET_ARN": arn,
			"DATABASE_TLS": "off", "READER_DATABASE_AUTH": "secret", "READER_DATABASE_USER": "etl",
			"READER_DATABASE_SECRET_ARN": second,
		}, changed)
		assert.JSONEq(t, `{"username":"etl","password":"`+served.passwords["etl"]+`"}`, value(t, run, second))
	})
	t.Run("a second database is logged in to with a secret of its own, though the user's name is the same",
		func(t *testing.T) {
			other := &runningDatabase{databaseInstance: &instance{port: 6543, passwords: map[string]string{},
				exited: make(chan struct{})}, secrets: map[string]string{}}
			keep(run, other)
			given := map[string]string{
				"DATABASE_HOST": "h", "DATABASE_PORT": "5433", "DATABASE_NAME": "shop", "DATABASE_AUTH": "iam",
				"DATABASE_USER": "web", "DATABASE_TLS": "verify-full", "DATABASE_CA_FILE": "/opt/ca.pem",
				"VECTORS_DATABASE_HOST": "v", "VECTORS_DATABASE_PORT": "6543", "VECTORS_DATABASE_NAME": "vectors",
				"VECTORS_DATABASE_AUTH": "iam", "VECTORS_DATABASE_USER": "web", "VECTORS_DATABASE_TLS": "verify-full",
				"VECTORS_DATABASE_CA_FILE": "/opt/ca.pem", "VECTORS_DATABASE_GENERATION": "2", "AWS_REGION": "r",
			}
			changed, err := databaseEnvironment(t.Context(), run, given)
			require.NoError(t, err)
			first, second := changed["DATABASE_SECRET_ARN"], changed["VECTORS_DATABASE_SECRET_ARN"]
			assert.NotEqual(t, first, second)
			assert.Equal(t, map[string]string{
				"DATABASE_HOST": "h", "DATABASE_PORT": "5433", "DATABASE_NAME": "shop", "DATABASE_AUTH": "secret",
				"DATABASE_USER": "web", "DATABASE_TLS": "off", "DATABASE_SECRET_ARN": first,
				"VECTORS_DATABASE_HOST": "v", "VECTORS_DATABASE_PORT": "6543", "VECTORS_DATABASE_NAME": "vectors",
				"VECTORS_DATABASE_AUTH": "secret", "VECTORS_DATABASE_USER": "web", "VECTORS_DATABASE_TLS": "off",
				"VECTORS_DATABASE_SECRET_ARN": second, "VECTORS_DATABASE_GENERATION": "2", "AWS_REGION": "r",
			}, changed)
			assert.JSONEq(t, `{"username":"web","password":"`+served.passwords["web"]+`"}`, value(t, run, first))
			there := other.databaseInstance.(*instance).passwords["web"]
			assert.NotEqual(t, served.passwords["web"], there)
			assert.JSONEq(t, `{"username":"web","password":"`+there+`"}`, value(t, run, second))
		})
	t.Run("a job hears how to log in, and of nothing that its arguments say", func(t *testing.T) {
		changed, err := jobEnvironment(t.Context(), run, map[string]string{
			"--source-host": "h", "--source-port": "5433", "--source-user": "reader", "--source-database": "d",
		})
		require.NoError(t, err)
		assert.Equal(t, map[string]string{
			"DATABASE_AUTH": "secret", "DATABASE_TLS": "off", "DATABASE_SECRET_ARN": changed["DATABASE_SECRET_ARN"],
		}, changed)
		assert.JSONEq(t, `{"username":"reader","password":"`+served.passwords["reader"]+`"}`,
			value(t, run, changed["DATABASE_SECRET_ARN"]))
		none, err := jobEnvironment(t.Context(), run, map[string]string{"--lake-bucket": "b"})
		require.NoError(t, err)
		assert.Empty(t, none, "it has no database")
	})
	t.Run("a user who is not there is named", func(t *testing.T) {
		served.refuses = errors.New("no such role")
		byIAM["DATABASE_USER"] = "nobody"
		_, err := databaseEnvironment(t.Context(), run, byIAM)
		assert.EqualError(t, err, "the database user nobody, whom the loader should have created: no such role")
	})
	t.Run("a port where no database listens is named", func(t *testing.T) {
		byIAM["DATABASE_PORT"] = "1"
		_, err := databaseEnvironment(t.Context(), run, byIAM)
		assert.EqualError(t, err, "a program's database port is 1: no database of the template listens there")
	})
	t.Run("one that ends by itself ends the run", func(t *testing.T) {
		require.NoError(t, run.Engines.Err())
		served.ended = errors.New("killed")
		close(served.exited)
		<-run.Engines.Exited()
		require.ErrorContains(t, run.Engines.Err(), "the engine test of A/")
		require.ErrorContains(t, run.Engines.Err(), " has ended, see the.log: killed")
	})
}

// The administrator makes databases and users and gives them rights, and is no superuser; a user
// gets a password before or after the loader has made them.
func TestMariaDB(t *testing.T) {
	run := start(t, engine.Moto)
	creation := create(t, run, "AWS::RDS::DBInstance", "D", &assembly.Database{
		Engine: "mysql", MasterUser: "admin", Name: "classicmodels",
	})
	running := Made[*runningDatabase](run)[0]
	open := func(user, password, database string) *sql.DB {
		server := running.databaseInstance.(mariadbInstance)
		pool, err := sql.Open("mysql", server.DSNFor(user, password, database))
		require.NoError(t, err)
		t.Cleanup(func() { _ = pool.Close() })
		return pool
	}
	var login struct{ Username, Password string }
	secret := value(t, run, creation.Attributes["MasterUserSecret.SecretArn"].(string))
	require.NoError(t, json.Unmarshal([]byte(secret), &login))
	assert.Equal(t, "admin", login.Username)
	administrator := open(login.Username, login.Password, "classicmodels")
	require.NoError(t, running.SetPassword(t.Context(), "early", "e1"))
	for _, statement := range []string{
		"CREATE TABLE t (a int)", "INSERT INTO t VALUES (7)", "CREATE DATABASE diecast",
		"CREATE USER IF NOT EXISTS 'early'@'%' ACCOUNT LOCK", "CREATE USER IF NOT EXISTS 'late'@'%' ACCOUNT LOCK",
		"GRANT SELECT ON classicmodels.t TO 'early'@'%'", "GRANT SELECT ON classicmodels.t TO 'late'@'%'",
	} {
		_, err := administrator.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	for _, statement := range []string{"SHUTDOWN", "SET GLOBAL read_only = 1",
		"SELECT * FROM t INTO OUTFILE '/tmp/t'"} {
		_, err := administrator.ExecContext(t.Context(), statement)
		require.ErrorContains(t, err, "Access denied", statement)
	}
	for _, statement := range []string{
		"UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.access', 18446744073709551615)",
		"INSERT INTO mysql.plugin VALUES ('x', 'x.so')", "INSTALL SONAME 'x'", "CREATE TABLE mysql.t (a int)",
		"GRANT SUPER ON *.* TO CURRENT_USER", "GRANT FILE ON *.* TO 'late'@'%'",
		"GRANT INSERT ON mysql.* TO 'late'@'%'",
		"CREATE DEFINER = 'root'@'127.0.0.1' PROCEDURE p() SHUTDOWN",
	} {
		_, err := administrator.ExecContext(t.Context(), statement)
		require.Error(t, err, statement)
		assert.Regexp(t, "denied|You need", err.Error(), statement)
	}
	require.NoError(t, running.SetPassword(t.Context(), "late", "l1"))
	// It may give every user another password, and then be that one: none may do more.
	_, err := administrator.ExecContext(t.Context(), "ALTER USER 'root'@'127.0.0.1' IDENTIFIED BY 'taken'")
	require.NoError(t, err)
	root := open("root", "taken", "")
	for _, statement := range []string{"SHUTDOWN", "SELECT 1 INTO OUTFILE '/tmp/t'", "SELECT * FROM mysql.global_priv",
		"GRANT SUPER ON *.* TO 'late'@'%'"} {
		_, err := root.ExecContext(t.Context(), statement)
		require.ErrorContains(t, err, "denied", statement)
	}
	rows, err := administrator.QueryContext(t.Context(), `SELECT User, Host FROM mysql.global_priv
		WHERE JSON_VALUE(Priv, '$.access') & (1 << 15 | 1 << 9 | 1 << 7)`) // SUPER, FILE, SHUTDOWN
	require.NoError(t, err)
	defer rows.Close()
	assert.False(t, rows.Next(), "no superuser is left")
	require.NoError(t, rows.Err())
	for user, password := range map[string]string{"early": "e1", "late": "l1"} {
		var found int
		reader := open(user, password, "classicmodels")
		require.NoError(t, reader.QueryRowContext(t.Context(), "SELECT a FROM t").Scan(&found), user)
		assert.Equal(t, 7, found)
		_, err := reader.ExecContext(t.Context(), "DELETE FROM t")
		require.ErrorContains(t, err, "denied", user)
	}
}

// A machine reads and tells by the run's own engines, under the names that were filled in.
func TestStateMachine(t *testing.T) {
	run := start(t, engine.Moto, engine.StateMachineHost)
	bucket := create(t, run, "AWS::S3::Bucket", "Lake", &assembly.Bucket{}).Ref
	_, err := engine.Moto.In(run.Engines).S3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket,
		Key: aws.String("told"), Body: strings.NewReader(`{"rows":3}`)})
	require.NoError(t, err)
	topic := create(t, run, "AWS::SNS::Topic", "Runs", &assembly.Topic{})
	assert.Regexp(t, "^arn:aws:sns:us-east-1:000000000000:shop-A-Runs-[0-9a-f]{8}$", topic.Ref)
	assert.Equal(t, topic.Ref, topic.Attributes["TopicArn"])
	assert.Equal(t, "runs", create(t, run, "AWS::SNS::Topic", "Named",
		&assembly.Topic{Name: "runs"}).Attributes["TopicName"])
	definition := `{"StartAt":"Read","States":{` +
		`"Read":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:s3:getObject",` +
		`"Parameters":{"Bucket":"${Bucket}","Key":"told"},` +
		`"ResultSelector":{"read.$":"States.StringToJson($.Body)"},"Next":"Tell"},` +
		`"Tell":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:sns:publish","Parameters":{"TopicArn":"${Topic}",` +
		`"Message.$":"States.Format('{} rows', $.read.rows)"},"ResultPath":"$.message","End":true}}}`
	machine := create(t, run, "AWS::StepFunctions::StateMachine", "Batch", &assembly.StateMachine{
		Definition: definition, Substitutions: map[string]string{"Bucket": bucket, "Topic": topic.Ref},
		Role: "arn:role",
	})
	assert.Regexp(t, "^arn:aws:states:us-east-1:000000000000:stateMachine:shop-A-Batch-[0-9a-f]{8}$", machine.Ref)
	assert.Equal(t, machine.Ref, machine.Attributes["Arn"])
	client := sfn.New(sfn.Options{
		Region: engine.Region, Credentials: credentials.StaticCredentialsProvider{Value: run.Engines.Credentials()},
		BaseEndpoint: aws.String(run.Engines.Endpoints()["AWS_ENDPOINT_URL_SFN"]),
	})
	started, err := client.StartExecution(t.Context(), &sfn.StartExecutionInput{StateMachineArn: &machine.Ref})
	require.NoError(t, err)
	var told *sfn.DescribeExecutionOutput
	require.Eventually(t, func() bool {
		told, err = client.DescribeExecution(t.Context(),
			&sfn.DescribeExecutionInput{ExecutionArn: started.ExecutionArn})
		return err == nil && told.Status != "RUNNING"
	}, 30*time.Second, 20*time.Millisecond)
	require.EqualValues(t, "SUCCEEDED", told.Status, "%s", aws.ToString(told.Cause))
	assert.Regexp(t, `"MessageId":"[0-9a-f-]+"`, *told.Output, "the topic has taken it")

	long := create(t, run, "AWS::StepFunctions::StateMachine", strings.Repeat("Long", 20), &assembly.StateMachine{
		Definition: `{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}`,
	})
	assert.Len(t, long.Attributes["Name"], 80)
}

// A script that knows nothing of this machine reads and writes the run's buckets.
func TestJob(t *testing.T) {
	run := start(t, engine.Moto, engine.JobHost)
	client := engine.Moto.In(run.Engines).S3()
	bucket := create(t, run, "AWS::S3::Bucket", "Lake", &assembly.Bucket{}).Ref
	creation := create(t, run, "AWS::Glue::Job", "Write", &assembly.Job{
		Source: "internal/local/provider/testdata/write_rows.py", Arguments: map[string]string{"--bucket": bucket},
		Timeout: 2 * time.Minute, MaxConcurrentRuns: 1,
	})
	assert.Regexp(t, "^shop-A-Write-[0-9a-f]{8}$", creation.Ref)
	jobs := glue.New(glue.Options{
		Region: engine.Region, Credentials: credentials.StaticCredentialsProvider{Value: run.Engines.Credentials()},
		BaseEndpoint: aws.String(run.Engines.Endpoints()["AWS_ENDPOINT_URL_GLUE"]),
	})
	started, err := jobs.StartJobRun(t.Context(), &glue.StartJobRunInput{JobName: &creation.Ref})
	require.NoError(t, err)
	var told *gluetypes.JobRun
	require.Eventually(t, func() bool {
		answer, err := jobs.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: &creation.Ref,
			RunId: started.JobRunId})
		if err == nil {
			told = answer.JobRun
		}
		return err == nil && told.CompletedOn != nil
	}, 2*time.Minute, 100*time.Millisecond)
	require.Equal(t, gluetypes.JobRunStateSucceeded, told.JobRunState, "%s", aws.ToString(told.ErrorMessage))
	object, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("count")})
	require.NoError(t, err)
	defer object.Body.Close()
	text, err := io.ReadAll(object.Body)
	require.NoError(t, err)
	assert.Equal(t, "3", string(text))
}

// A function that ends at once is an invocation that failed, in a new process.
func TestInvocations(t *testing.T) {
	run := start(t, engine.FunctionHost)
	host := engine.FunctionHost.In(run.Engines)
	executable := filepath.Join(t.TempDir(), "bootstrap")
	require.NoError(t, os.WriteFile(executable, []byte("#!/bin/sh\nexit 1\n"), 0o700))
	require.NoError(t, host.Add(lambdahost.Function{
		Name: "broken", Executable: executable, Timeout: time.Second, MemoryMiB: 128,
	}))
	consumer := &Consumer{Invocations: &Invocations{Function: "broken", host: host}}
	answer, err := consumer.Invoke(t.Context(), "", []byte("{}"))
	require.NoError(t, err)
	assert.Equal(t, lambdahost.Unhandled, answer.FunctionError)
	assert.NotEmpty(t, answer.RequestID)
	warm, cold, failed := consumer.Durations()
	assert.Empty(t, warm)
	assert.Len(t, cold, 1)
	assert.Equal(t, 1, failed)

	unknown := &Delivery{Invocations: &Invocations{Function: "unknown", host: host}}
	_, _, err = unknown.Invoke(t.Context(), "", []byte("{}"))
	require.ErrorIs(t, err, lambdahost.ErrNotFound)
	_, cold, failed = unknown.Durations()
	assert.Empty(t, cold, "no process took it up")
	assert.Zero(t, failed)
}

// What gives functions work is flushed while they and what they use still run, and one that takes
// its time costs the others none.
func TestRun_flushesAllSideBySideBeforeItStops(t *testing.T) {
	run := &Run{}
	met := make(chan struct{})
	run.onFlush(func(context.Context) error { met <- struct{}{}; return errors.New("no 0") })
	run.onFlush(func(context.Context) error { <-met; return errors.New("no 1") })
	flushed := false
	run.onStop(func(context.Context) error {
		assert.True(t, flushed)
		return errors.New("no database")
	})
	require.EqualError(t, run.Flush(t.Context()), "no 1\nno 0")
	flushed = true
	require.EqualError(t, run.Stop(t.Context()), "no 1\nno 0\nno database", "every problem is told")
}

// watched is a run without engines, and what it watches.
func watched() (*Run, chan *worker) {
	seen := make(chan *worker, 1)
	return &Run{watch: func(_ string, work *worker) { seen <- work }}, seen
}

func TestRun_backgroundEndsWithTheRun(t *testing.T) {
	run, seen := watched()
	ready, ended := make(chan struct{}), false
	starting, cancel := context.WithCancel(t.Context())
	require.NoError(t, run.background(starting, task{name: "work", ready: ready,
		run: func(ctx context.Context) error {
			close(ready)
			<-ctx.Done()
			ended = true
			return errors.New("flushed late")
		}}))
	cancel() // what bounds the start does not end the work
	require.EqualError(t, run.Stop(t.Context()), "flushed late")
	assert.True(t, ended)
	work := <-seen
	<-work.Exited()
	assert.NoError(t, work.Err(), "it was stopped")

	run, seen = watched()
	failing := func(context.Context) error { return errors.New("no stream") }
	err := run.background(t.Context(), task{name: "work", run: failing, ready: make(chan struct{})})
	require.EqualError(t, err, "no stream", "work that ends before it is ready")
	require.EqualError(t, run.Stop(t.Context()), "no stream")
	assert.Empty(t, seen)

	run, _ = watched()
	blocked := make(chan struct{})
	defer close(blocked)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	stuck := func(context.Context) error { <-blocked; return nil }
	stuckStart := run.background(over, task{name: "work", run: stuck, ready: make(chan struct{})})
	require.ErrorIs(t, stuckStart, context.Canceled)
	require.ErrorIs(t, run.Stop(over), context.Canceled, "nobody waits for ever")
}

// The end of a stop's time has work give up what it still waits for.
func TestRun_backgroundWorkGivesUpWhenTheTimeIsOver(t *testing.T) {
	run, _ := watched()
	ready, givenUp := make(chan struct{}), make(chan struct{})
	close(ready)
	require.NoError(t, run.background(t.Context(), task{name: "work", ready: ready,
		run:    func(context.Context) error { <-givenUp; return errors.New("3 records were lost") },
		giveUp: func() { close(givenUp) },
	}))
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, run.Flush(over))
	require.EqualError(t, run.Stop(t.Context()), "3 records were lost")
}

func TestRun_backgroundWorkThatEndsByItselfIsTold(t *testing.T) {
	run, seen := watched()
	ready, vanish, gone := make(chan struct{}), make(chan struct{}), errors.New("the bucket is gone")
	close(ready)
	require.NoError(t, run.background(t.Context(), task{name: "work", ready: ready,
		run: func(context.Context) error { <-vanish; return gone }}))
	close(vanish)
	work := <-seen
	<-work.Exited()
	require.ErrorIs(t, work.Err(), gone, "nobody has to stop the run to hear of it")
	require.ErrorIs(t, run.Stop(t.Context()), gone)
}

func TestRun_log(t *testing.T) {
	run := &Run{Options: Options{Dir: t.TempDir()}}
	log, err := run.log("consumer-X")
	require.NoError(t, err)
	log.Info("given up", "records", 3)
	require.NoError(t, run.Stop(t.Context()))
	text, err := os.ReadFile(filepath.Join(run.Dir, "log", "consumer-X.log"))
	require.NoError(t, err)
	assert.Contains(t, string(text), `"records":3`)
}
