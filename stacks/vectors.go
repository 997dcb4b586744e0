package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/database"
	"diecast/constructs/golambda"
	"diecast/constructs/securebucket"
)

const (
	// vectorsDatabase is the database that the course's queries connect to.
	vectorsDatabase = "vectors"
	// vectorsMaster is the administrator, whose password only the loader reads.
	vectorsMaster = "postgres"
	// modelsPrefix is where the ml-artifacts bucket keeps one folder for each model.
	modelsPrefix = "models/"
	// loaderTimeout leaves room for a store of a million embeddings.
	loaderTimeoutSeconds = 300
)

// Vectors is the embeddings store: PostgreSQL with pgvector, the bucket of model
// artifacts, and the loader that turns one into the other.
type Vectors struct {
	Stack     awscdk.Stack
	Database  *database.Database
	Artifacts *securebucket.Bucket
	Loader    *golambda.Function
}

// NewVectors adds the stack.
func NewVectors(app constructs.Construct, cfg config.Config, network *Network) *Vectors {
	stack := newStack(app, cfg, "Vectors", "PostgreSQL with pgvector, the ml-artifacts bucket and the loader")
	v := &Vectors{Stack: stack}
	v.Database = database.New(stack, "Database", database.Props{
		Engine:             database.PostgreSQL(),
		VPC:                network.Network.VPC(),
		Subnets:            network.Network.DatabaseSubnets(),
		Name:               vectorsDatabase,
		MasterUser:         vectorsMaster,
		InstanceClass:      cfg.Vectors.InstanceClass,
		StorageGiB:         cfg.Vectors.StorageGiB,
		MultiAZ:            cfg.Vectors.MultiAZ,
		BackupRetention:    days(cfg.Vectors.BackupRetentionDays),
		DeletionProtection: cfg.Vectors.DeletionProtection,
		Destroy:            cfg.DestroysData(),
		MaxConnections:     cfg.Vectors.PostgreSQLMaxConnections(),
		AlarmTopic:         network.AlarmTopic,
	})
	v.Artifacts = securebucket.New(stack, "Artifacts", securebucket.Props{
		Versioned:        true,
		NoncurrentExpiry: days(30),
		Destroy:          cfg.DestroysData(),
		AccessLogs:       network.AccessLogs,
	})
	v.Loader = v.newLoader(cfg, network)

	output(stack, "DatabaseHost", v.Database.Host(), "Vector store: host name, reachable from the application subnets")
	output(stack, "DatabasePort", v.Database.Port(), "Vector store: port")
	output(stack, "DatabaseName", jsii.String(v.Database.Name()), "Vector store: database name")
	output(stack, "DatabaseSecretArn", v.Database.MasterSecret().SecretArn(), "Vector store: secret with the administrator's user name and password, kept by RDS")
	output(stack, "ArtifactsBucketName", v.Artifacts.Name(), "Bucket of models, one folder each below models/")
	output(stack, "LoaderFunctionName", v.Loader.Name(), "Function that creates the schema and loads a model")
	return v
}

func (v *Vectors) newLoader(cfg config.Config, network *Network) *golambda.Function {
	group := awsec2.NewSecurityGroup(v.Stack, jsii.String("LoaderSecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc:              network.Network.VPC(),
		Description:      jsii.String("Vector loader: to the database and to AWS"),
		AllowAllOutbound: jsii.Bool(false),
	})
	network.Network.OpenHTTPS(group)
	v.Database.Admit(group)
	secret := v.Database.MasterSecret()
	environment := databaseEnvironment(v.Database, vectorsMaster, "secret")
	environment["DATABASE_SECRET_ARN"] = secret.SecretArn()
	environment["ARTIFACTS_BUCKET"] = v.Artifacts.Name()
	loader := golambda.New(v.Stack, "Loader", golambda.Props{
		Source:       "lambda/vectorloader",
		Description:  "Creates the vector store's schema and roles, and loads models into it",
		MemoryMiB:    256,
		Timeout:      seconds(loaderTimeoutSeconds),
		Environment:  environment,
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		Network: &golambda.Network{
			VPC: network.Network.VPC(), Subnets: network.Network.ApplicationSubnets(), SecurityGroup: group,
		},
		AlarmTopic: network.AlarmTopic,
	})
	loader.Allow("ReadMasterSecret", []string{"secretsmanager:GetSecretValue"}, secret.SecretArn())
	// It puts the model that came with it where all others lie.
	loader.AllowObjects("KeepModels", []string{"s3:GetObject", "s3:PutObject"}, v.Artifacts, modelsPrefix)
	// Without it S3 answers 403 for a model that does not exist.
	loader.Allow("ListModels", []string{"s3:ListBucket"}, v.Artifacts.Bucket().BucketArn())
	return loader
}

// databaseEnvironment tells a function where a database is and how to log in; the
// names are internal/awsdb's.
func databaseEnvironment(db *database.Database, user, auth string) map[string]*string {
	return map[string]*string{
		"DATABASE_HOST": db.Host(),
		"DATABASE_PORT": db.Port(),
		"DATABASE_NAME": jsii.String(db.Name()),
		"DATABASE_USER": jsii.String(user),
		"DATABASE_AUTH": jsii.String(auth),
		"DATABASE_TLS":  jsii.String("verify-full"),
	}
}
