package stacks

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/database"
	"diecast/constructs/datalake"
	"diecast/constructs/golambda"
	"diecast/constructs/securebucket"
	"diecast/constructs/sparkjob"
	"diecast/internal/awsdb/certificates"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/internal/local/installed"
	"diecast/internal/trainingset"
	"diecast/sql"
)

const (
	// sourceDatabase is the shop's database, by its course's name.
	sourceDatabase = "classicmodels"
	// sourceMaster is the administrator, whose password only the loader reads.
	sourceMaster = "admin"
	// sourceLoaderTimeoutSeconds is half a minute less than Lambda's most: CDK's framework, which
	// waits for the loader, has no more, and must still answer CloudFormation.
	sourceLoaderTimeoutSeconds = 870

	etlScript = "glue-scripts/ratings_etl.py"
	// rdsAuthorities are the certificate authorities by which the job knows RDS.
	rdsAuthorities = "internal/awsdb/certificates/rds.pem"
	// mysqlDriver is the driver that the tests use, below the folder of `make setup`: Glue's own is
	// older.
	mysqlDriver = "glue-jars-1/jdbc/mysql-connector-j-8.4.0.jar"
)

// sourceEngine is the source's engine.
func sourceEngine(cfg config.Config) database.Engine { return database.MySQL(cfg.Source.EngineVersion) }

// Batch is the way from the shop's MySQL to what is trained and queried: the source database with
// its loader, the Glue job, and the lake that it publishes to.
type Batch struct {
	Stack  awscdk.Stack
	Source *database.Database
	Loader *golambda.Function
	Lake   *datalake.Lake
	Job    *sparkjob.Job
	// trusted are the authorities by which programs know the source.
	trusted authorities
	// generation counts the databases that stood in the source's place.
	generation string
}

// NewBatch adds the stack. The vectors' loader is told of every run that is published.
func NewBatch(app constructs.Construct, cfg config.Config, network *Network, vectors *Vectors) *Batch {
	stack := newStack(app, cfg, outputs.Batch, "The source database, the Glue job with its state machine, and the "+
		"data lake with its catalogue")
	b := &Batch{Stack: stack, trusted: authoritiesOf(cfg), generation: strconv.Itoa(cfg.Source.Generation)}
	b.Source = database.New(stack, "Source", database.Props{
		Engine:                  sourceEngine(cfg),
		VPC:                     network.VPC(),
		Subnets:                 network.DatabaseSubnets(),
		Name:                    sourceDatabase,
		MasterUser:              sourceMaster,
		InstanceClass:           cfg.Source.InstanceClass,
		StorageGiB:              cfg.Source.StorageGiB,
		MultiAZ:                 cfg.Source.MultiAZ,
		BackupRetention:         days(cfg.Source.BackupRetentionDays),
		AutoMinorVersionUpgrade: cfg.Databases.AutoMinorVersionUpgrade,
		Generation:              cfg.Source.Generation,
		DeletionProtection:      cfg.Source.DeletionProtection,
		Destroy:                 cfg.DestroysData(),
		Parameters: map[string]string{
			// RDS writes no slow queries by itself; to a table they would not reach CloudWatch.
			"slow_query_log": "1", "long_query_time": "2", "log_output": "FILE",
			// PostgreSQL's default, a quarter of the memory, needs no like of it.
			"innodb_buffer_pool_size": cfg.Source.MySQLBufferPool(),
		},
		Logs:              []string{"error", "slowquery"},
		LogRetention:      logRetention(cfg.Functions.LogRetentionDays),
		MaxConnections:    cfg.Source.MySQLMaxConnections(),
		ConnectionsAdvice: "compare etl.connections with the class, and look for who else connects.",
		Reasons: database.Reasons{
			DefaultPort: "The instance is reached from the groups of its loader and its job only; " +
				"another port would hide nothing and break the clients' defaults.",
			SingleZone: "The profile accepts an outage with its zone for half the price; " +
				"what was published stays readable without the source.",
			NoBackups: "The profile keeps no backups for their cost; a generated shop or a dump is loaded again.",
			Deletable: "The profile is meant to be taken down by one command; " +
				"a final snapshot is kept unless both destroy keys are set.",
		},
		AlarmTopic: network.AlarmTopic,
	})
	b.Loader = b.newLoader(cfg, network)
	b.Lake = datalake.New(stack, "Lake", lake(cfg, network))
	b.Job = b.newJob(cfg, network)
	machine, runs := b.newMachine(cfg, network, vectors.Loader)
	b.admitRefresh(vectors)

	output(stack, outputs.SourceDatabaseHost, b.Source.Host())
	output(stack, outputs.SourceDatabasePort, b.Source.Port())
	output(stack, outputs.SourceDatabaseName, jsii.String(b.Source.Name()))
	output(stack, outputs.SourceDatabaseSecretARN, b.Source.MasterSecret().SecretArn())
	output(stack, outputs.SourceDatabaseIdentifier, b.Source.Identifier())
	output(stack, outputs.SourceLoaderFunctionName, b.Loader.Name())
	output(stack, outputs.SourceLoaderLogGroupName, b.Loader.LogGroup().LogGroupName())
	output(stack, outputs.LakeBucketName, b.Lake.Bucket().Name())
	output(stack, outputs.ETLJobName, b.Job.Name())
	output(stack, outputs.ETLStateMachineARN, machine.ARN())
	output(stack, outputs.ETLTopicARN, runs.TopicArn())
	output(stack, outputs.GlueDatabaseName, b.Lake.Database())
	output(stack, outputs.AthenaWorkgroupName, b.Lake.Workgroup())
	return b
}

func (b *Batch) newLoader(cfg config.Config, network *Network) *golambda.Function {
	group := network.NewSecurityGroup(b.Stack, "LoaderSecurityGroup", "Source loader: to the database and to AWS",
		network.OpenHTTPS, b.Source.Admit)
	secret := b.Source.MasterSecret()
	loader := golambda.New(b.Stack, "Loader", golambda.Props{
		Source:      "lambda/sourceloader",
		Description: "Creates the source's schema and users, fills it, and asks it for operators",
		// The longest row that a dump may have takes 311 MB to read (docs/source.md).
		MemoryMiB: 512,
		Timeout:   seconds(sourceLoaderTimeoutSeconds),
		Environment: functionVariables(cfg, environment.Source{
			Database: environment.Database{
				Host: *b.Source.Host(), Port: *b.Source.Port(), Name: b.Source.Name(), Auth: environment.Secret,
				SecretARN: *secret.SecretArn(), TLS: environment.VerifyFull,
				CAFile: b.trusted.path(golambda.PathOf(certificates.FileName)), Generation: b.generation,
			},
			Reader: environment.Reader{User: sql.ETLReader, Auth: environment.IAM},
		}),
		Files:        b.trusted.files(),
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		Network: &golambda.Network{
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(), SecurityGroup: group,
		},
		ThrottlesAdvice: throttlesAdvice,
		AlarmTopic:      network.AlarmTopic,
	})
	loader.Role().Allow("ReadMasterSecret", []string{"secretsmanager:GetSecretValue"}, secret.SecretArn())
	b.Source.AllowLogin(loader.Role(), sql.ETLReader)
	if cfg.Source.Kind == config.SourceDump {
		bucket, key, _ := strings.Cut(strings.TrimPrefix(cfg.Source.DumpURI, "s3://"), "/")
		loader.Role().Allow("ReadDump", []string{"s3:GetObject"}, b.Stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("s3"), Region: jsii.String(""), Account: jsii.String(""),
			Resource: jsii.String(bucket), ResourceName: jsii.String(key),
		}))
	}
	return loader
}

// lake says what the contract of a run means to the catalogue.
func lake(cfg config.Config, network *Network) datalake.Props {
	format := trainingset.Format(cfg.ETL.Format)
	props := datalake.Props{
		Bucket: securebucket.Props{
			Versioned:        true,
			NoncurrentExpiry: days(30),
			Expiries: []securebucket.Expiry{
				{Prefix: trainingset.QuarantinePrefix + "/", After: days(cfg.ETL.QuarantineRetentionDays)},
			},
			Destroy:        cfg.DestroysData(),
			AccessLogs:     network.AccessLogs,
			UnloggedReason: unlogged,
		},
		Database:       strings.ReplaceAll(cfg.Name, "-", "_") + "_lake",
		Workgroup:      cfg.Name,
		Format:         datalake.Format(format),
		ScanLimitBytes: cfg.ETL.ScanLimitMiB << 20,
	}
	for _, entry := range trainingset.Catalogue(format) {
		described := datalake.Table{
			Name: entry.Name, Folder: entry.Folder,
			Description: fmt.Sprintf("Table %s of the published run", entry.Table),
		}
		if format == trainingset.CSV {
			described.Description += "; Athena reads CSV line by line: a line end in a text ends a row"
		}
		for _, column := range entry.Columns {
			described.Columns = append(described.Columns, datalake.Column(column))
		}
		props.Tables = append(props.Tables, described)
	}
	// The queries name the tables as they are called in Parquet.
	catalogue := map[string]string{}
	for _, table := range trainingset.TableNames() {
		catalogue[trainingset.CatalogueTable(table, trainingset.Parquet)] = trainingset.CatalogueTable(table, format)
	}
	for _, query := range sql.LakeQueries(func(table string) string { return catalogue[table] }) {
		props.Queries = append(props.Queries, datalake.Query{Name: query.Name, Description: query.Meaning,
			SQL: query.Text})
	}
	return props
}

// sourceKinds are how the job names, in a run's manifest, what the source was filled with.
var sourceKinds = map[string]string{
	config.SourceSample: "generated", config.SourceDump: "dump", config.SourceEmpty: "mysql",
}

// etlMetrics are the numbers of the line etlMeasures that the script writes at the end of a run
// that is published. Shares are from 0 on.
var etlMetrics = sparkjob.Metrics{
	Line: "etlMeasures",
	Names: []string{"RatingRows", "ObservationRows", "QuarantinedRatings", "MeanRating", "GreatestNullShare",
		"NewProductShare", "VanishedProductShare", "BrokenDriftRules"},
}

// plain is a number as the script's parser reads it.
func plain(number float64) *string { return jsii.String(strconv.FormatFloat(number, 'f', -1, 64)) }

func (b *Batch) newJob(cfg config.Config, network *Network) *sparkjob.Job {
	folder, err := installed.Folder()
	if err != nil {
		panic(err)
	}
	job := sparkjob.New(b.Stack, "Etl", sparkjob.Props{
		Source:      etlScript,
		Description: "Reads the source, checks it, publishes training set and sales mart",
		// The names are those of the script's own parser; --run-id is for who starts a run.
		Arguments: map[string]*string{
			"--region":            b.Stack.Region(),
			"--lake-bucket":       b.Lake.Bucket().Name(),
			"--format":            jsii.String(cfg.ETL.Format),
			"--max-quarantined":   plain(cfg.ETL.MaxQuarantined),
			"--keep-runs":         jsii.String(strconv.Itoa(cfg.ETL.KeepRuns)),
			"--connections":       jsii.String(strconv.Itoa(cfg.ETL.Connections)),
			"--fetch-size":        jsii.String("10000"),
			"--statement-timeout": jsii.String("300"),
			"--source-host":       b.Source.Host(),
			"--source-port":       b.Source.Port(),
			"--source-database":   jsii.String(b.Source.Name()),
			"--source-user":       jsii.String(sql.ETLReader),
			"--source-kind":       jsii.String(sourceKinds[cfg.Source.Kind]),
			"--source-detail":     jsii.String(sourceDetail(cfg)),
			"--source-owner":      jsii.String(cfg.Source.Owner),
			"--strategy":          jsii.String(cfg.ETL.Strategy),
			"--lookback":          jsii.String(strconv.Itoa(cfg.ETL.LookbackDays)),
			"--drift-rows":        plain(cfg.ETL.DriftRows),
			"--drift-nulls":       plain(cfg.ETL.DriftNulls),
			"--drift-mean":        plain(cfg.ETL.DriftMean),
			"--drift-new":         plain(cfg.ETL.DriftNew),
			"--drift-vanished":    plain(cfg.ETL.DriftVanished),
			"--drift-least":       jsii.String(strconv.Itoa(cfg.ETL.DriftLeast)),
		},
		Files:   map[string]string{"--source-ca": b.jobAuthorities()},
		Jars:    []string{filepath.Join(folder, mysqlDriver)},
		Flex:    cfg.ETL.Flex,
		Timeout: seconds(60 * cfg.ETL.TimeoutMinutes),
		Network: sparkjob.Network{
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(),
			SecurityGroup: network.NewSecurityGroup(b.Stack, "EtlSecurityGroup",
				"ETL job: to the source, to S3 and to itself",
				network.OpenS3, b.Source.Admit),
		},
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		Metrics:      etlMetrics,
		FailureTopic: network.AlarmTopic,
		FailureRule:  failureRule(cfg),
	})
	b.Source.AllowLogin(job.Role(), sql.ETLReader)
	// Without the slash: Spark's writer marks a folder by an object beside it.
	objects := []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
	for _, prefix := range []string{trainingset.Prefix, trainingset.QuarantinePrefix, trainingset.CataloguePrefix} {
		job.Role().AllowObjects("Publish", objects, b.Lake.Bucket().ARN(), prefix)
	}
	// Who starts a run with --erased has the list there; the job changes nothing of it.
	job.Role().AllowObjects("ReadErased", []string{"s3:GetObject"}, b.Lake.Bucket().ARN(), trainingset.ErasedPrefix)
	job.Role().Allow("ListLake", []string{"s3:ListBucket"}, b.Lake.Bucket().ARN())
	return job
}

// jobAuthorities is the file of authorities by which the job knows the source.
func (b *Batch) jobAuthorities() string {
	if b.trusted == nil {
		return rdsAuthorities
	}
	return b.trusted.write(b.Stack)
}

// sourceDetail tells a reader of a manifest what the source was filled with.
func sourceDetail(cfg config.Config) string {
	switch cfg.Source.Kind {
	case config.SourceSample:
		return fmt.Sprintf("scale=%g seed=%d", cfg.Source.Scale, cfg.Source.Seed)
	case config.SourceDump:
		return cfg.Source.DumpURI
	}
	return "" // the script names host and database
}

// failureRule names the rule that tells of failed runs. The topic's policy must name it, and the
// topic is deployed before.
func failureRule(cfg config.Config) string { return outputs.Batch.Name(cfg.Name) + "-EtlFailures" }

// admitRefresh lets the vector loader read the runs that are published. The permission stands here,
// in the later of the two stacks: the loader's own does not know the lake, of which it hears by
// request.
func (b *Batch) admitRefresh(vectors *Vectors) {
	vectors.Loader.Role().AllowFrom(b.Stack, "LoaderReadsRuns", b.Lake.Bucket().ARN(), trainingset.Prefix+"/")
}
