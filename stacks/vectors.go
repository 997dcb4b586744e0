package stacks

import (
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/alarm"
	"diecast/constructs/database"
	"diecast/constructs/golambda"
	"diecast/constructs/securebucket"
	"diecast/internal/awsdb/certificates"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/internal/vectorloader"
)

const (
	// vectorsDatabase is the database that the course's queries connect to.
	vectorsDatabase = "vectors"
	// vectorsMaster is the administrator, whose password only the loader reads.
	vectorsMaster = "postgres"
	// loaderStorageShare is how many times its memory the loader has of a disk: a row that takes
	// 500 bytes of the one takes 800 of the other, beside a file of the run.
	loaderStorageShare = 2
	// loaderTimeoutSeconds is half a minute less than Lambda's most, as the source loader's;
	// docs/vectors.md has how long a load takes.
	loaderTimeoutSeconds = 870
)

// vectorsEngine is the store's engine.
func vectorsEngine(cfg config.Config) database.Engine {
	return database.PostgreSQL(cfg.Vectors.EngineVersion)
}

// Vectors is the embeddings store: PostgreSQL with pgvector, the bucket of model
// artifacts, and the loader that turns one into the other.
type Vectors struct {
	Stack     awscdk.Stack
	Database  *database.Database
	Artifacts *securebucket.Bucket
	Loader    *golambda.Function
	// trusted are the authorities by which functions know the database.
	trusted authorities
	// generation counts the databases that stood here.
	generation string
}

// NewVectors adds the stack.
func NewVectors(app constructs.Construct, cfg config.Config, network *Network) *Vectors {
	stack := newStack(app, cfg, outputs.Vectors, "PostgreSQL with pgvector, the ml-artifacts bucket and the loader")
	v := &Vectors{Stack: stack, trusted: authoritiesOf(cfg), generation: strconv.Itoa(cfg.Vectors.Generation)}
	v.Database = database.New(stack, "Database", database.Props{
		Engine:                  vectorsEngine(cfg),
		VPC:                     network.VPC(),
		Subnets:                 network.DatabaseSubnets(),
		Name:                    vectorsDatabase,
		MasterUser:              vectorsMaster,
		InstanceClass:           cfg.Vectors.InstanceClass,
		StorageGiB:              cfg.Vectors.StorageGiB,
		MultiAZ:                 cfg.Vectors.MultiAZ,
		BackupRetention:         days(cfg.Vectors.BackupRetentionDays),
		AutoMinorVersionUpgrade: cfg.Databases.AutoMinorVersionUpgrade,
		Generation:              cfg.Vectors.Generation,
		DeletionProtection:      cfg.Vectors.DeletionProtection,
		Destroy:                 cfg.DestroysData(),
		MaxConnections:          cfg.Vectors.PostgreSQLMaxConnections(),
		ConnectionsAdvice:       "compare capacity.eventsPerSecond and web.maxInstances with the class.",
		Reasons: database.Reasons{
			DefaultPort: "The instance is reached from the groups of its clients only; " +
				"another port would hide nothing and break the clients' defaults.",
			SingleZone: "The profile accepts an outage with its zone for half the price; " +
				"the store is rebuilt from artifacts or backups.",
			NoBackups: "The profile keeps no backups for their cost; the store is rebuilt from artifacts.",
			Deletable: "The profile is meant to be taken down by one command; " +
				"a final snapshot is kept unless both destroy keys are set.",
		},
		AlarmTopic: network.AlarmTopic,
	})
	v.Artifacts = securebucket.New(stack, "Artifacts", securebucket.Props{
		Versioned:        true,
		NoncurrentExpiry: days(30),
		Destroy:          cfg.DestroysData(),
		AccessLogs:       network.AccessLogs,
		UnloggedReason:   unlogged,
	})
	v.Loader = v.newLoader(cfg, network)
	// What it measures it measures whenever it works, and once an hour.
	v.Loader.Every(stack, "Measure", time.Hour, map[string]string{"action": vectorloader.Status})
	alarm.New(stack, network.AlarmTopic, unindexed(), outdated(cfg.Vectors.MaxRunAgeDays))

	output(stack, outputs.VectorsDatabaseHost, v.Database.Host())
	output(stack, outputs.VectorsDatabasePort, v.Database.Port())
	output(stack, outputs.VectorsDatabaseName, jsii.String(v.Database.Name()))
	output(stack, outputs.VectorsDatabaseSecretARN, v.Database.MasterSecret().SecretArn())
	output(stack, outputs.VectorsDatabaseIdentifier, v.Database.Identifier())
	output(stack, outputs.ArtifactsBucketName, v.Artifacts.Name())
	output(stack, outputs.VectorsLoaderFunctionName, v.Loader.Name())
	output(stack, outputs.VectorsLoaderLogGroupName, v.Loader.LogGroup().LogGroupName())
	return v
}

// unindexed tells of a store that has outgrown the search without an index. The loader counts
// whenever it has worked: until it does again, the last count holds.
func unindexed() alarm.Rule {
	return alarm.Rule{
		ID: "UnindexedItems",
		Description: fmt.Sprintf("Every query is compared with more than %d items one by one, for want of an index: "+
			"raise vectors.engineVersion to one with pgvector 0.8.4, then load the next model.", models.IndexedItems),
		Metric: awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String(metrics.Namespace), MetricName: jsii.String(metrics.UnindexedItems),
			DimensionsMap: &map[string]*string{metrics.FunctionDimension: jsii.String(metrics.VectorLoader)},
			Period:        awscdk.Duration_Minutes(jsii.Number(1)), Statistic: jsii.String("Maximum"),
		}),
		Threshold: models.IndexedItems, Missing: alarm.MissingKeepsState,
	}
}

// outdated tells of a model that has not followed the catalogue for long.
func outdated(days int) alarm.Rule {
	return alarm.Rule{
		ID: "RunAge",
		Description: fmt.Sprintf("The catalogue that the active model has is of a run older than %d days: look "+
			"whether the ETL job runs, then what `diecast vectors refresh` says.", days),
		Metric: awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
			Namespace: jsii.String(metrics.Namespace), MetricName: jsii.String(metrics.RunAgeHours),
			DimensionsMap: &map[string]*string{metrics.FunctionDimension: jsii.String(metrics.VectorLoader)},
			Period:        awscdk.Duration_Hours(jsii.Number(1)), Statistic: jsii.String("Maximum"),
		}),
		Threshold: float64(24 * days), Missing: alarm.MissingKeepsState,
	}
}

func (v *Vectors) newLoader(cfg config.Config, network *Network) *golambda.Function {
	group := network.NewSecurityGroup(v.Stack, "LoaderSecurityGroup", "Vector loader: to the database and to AWS",
		network.OpenHTTPS, v.Database.Admit)
	secret := v.Database.MasterSecret()
	settings := v.environment(vectorsMaster, environment.Secret)
	settings.SecretARN = *secret.SecretArn()
	loader := golambda.New(v.Stack, "Loader", golambda.Props{
		Source:      "lambda/vectorloader",
		Description: "Creates the vector store's schema and roles, and loads models into it",
		MemoryMiB:   cfg.Vectors.LoaderMemoryMiB,
		StorageMiB:  loaderStorageShare * cfg.Vectors.LoaderMemoryMiB,
		Timeout:     seconds(loaderTimeoutSeconds),
		Environment: functionVariables(cfg, environment.VectorLoader{
			VectorStore: settings,
			Refresh: environment.Refresh{
				MinCatalogueOverlap: environment.Fraction(cfg.Vectors.MinCatalogueOverlap),
				MinPreviousOverlap:  environment.Fraction(cfg.Vectors.MinPreviousOverlap),
				MaxVanished:         environment.Fraction(cfg.Vectors.MaxVanished),
				LengthTolerance:     environment.Fraction(cfg.Vectors.LengthTolerance),
			},
			DatabaseMemory: environment.Mebibytes(cfg.Vectors.MemoryMiB()),
			FunctionMemory: environment.Mebibytes(cfg.Vectors.LoaderMemoryMiB),
		}),
		Files:        v.trusted.files(),
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		Network: &golambda.Network{
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(), SecurityGroup: group,
		},
		ThrottlesAdvice: throttlesAdvice,
		AlarmTopic:      network.AlarmTopic,
	})
	loader.Role().Allow("ReadMasterSecret", []string{"secretsmanager:GetSecretValue"}, secret.SecretArn())
	// It puts the model that came with it, and those that it refreshes, where all others lie, and
	// removes old refreshed ones.
	loader.Role().AllowObjects("KeepModels", []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
		v.Artifacts.ARN(), models.Prefix)
	// Without it S3 answers 403 for a model that does not exist.
	loader.Role().Allow("ListModels", []string{"s3:ListBucket"}, v.Artifacts.ARN())
	return loader
}

// environment tells a program where embeddings and models lie, and how to log in.
func (v *Vectors) environment(user string, auth environment.Auth) environment.VectorStore {
	return environment.VectorStore{
		Database: environment.Database{
			Host: *v.Database.Host(), Port: *v.Database.Port(), Name: v.Database.Name(), User: user, Auth: auth,
			TLS: environment.VerifyFull, CAFile: v.trusted.path(golambda.PathOf(certificates.FileName)),
			Generation: v.generation,
		},
		ArtifactsBucket: *v.Artifacts.Name(),
	}
}
