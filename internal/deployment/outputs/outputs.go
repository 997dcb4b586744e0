// Package outputs names the platform's stacks and everything that they publish at the end of a
// deployment, and says how a file of such outputs is written. Stacks, commands and the laptop's run
// share it; it has no client and does not know what a value is used for.
package outputs

import (
	"fmt"
	"slices"
)

// Stack is a stack's id in the app. In CloudFormation it is named <platform>-<id>.
type Stack string

// The stacks, in the order of their deployment.
const (
	Network     Stack = "Network"
	Vectors     Stack = "Vectors"
	VectorsData Stack = "VectorsData"
	Batch       Stack = "Batch"
	BatchData   Stack = "BatchData"
	Streaming   Stack = "Streaming"
	Web         Stack = "Web"
)

// Stacks are all stacks, in the order of their deployment.
var Stacks = []Stack{Network, Vectors, VectorsData, Batch, BatchData, Streaming, Web}

// Name is the stack's name in CloudFormation.
func (s Stack) Name(platform string) string { return platform + "-" + string(s) }

// Output is one value that a stack publishes.
type Output struct {
	Stack Stack
	// Name is the output's own; two stacks may use the same one.
	Name string
	// Meaning says what the value is: the output's description in the template and in
	// docs/outputs.md.
	Meaning string
}

func (o Output) String() string { return fmt.Sprintf("%s.%s", o.Stack, o.Name) }

// Outputs of the stack Network.
var (
	VPCID         = declare(Network, "VpcId", "The VPC of the platform")
	AlarmTopicARN = declare(Network, "AlarmTopicArn",
		"Every alarm is published here; alarms.email subscribes to it")
	AccessLogsBucketName = declare(Network, "AccessLogsBucketName", "Server access logs of the other buckets")
)

// Outputs of the stacks Vectors and VectorsData.
var (
	VectorsDatabaseHost = declare(Vectors, "DatabaseHost",
		"Vector store: host name, reachable from the application subnets")
	VectorsDatabasePort      = declare(Vectors, "DatabasePort", "Vector store: port")
	VectorsDatabaseName      = declare(Vectors, "DatabaseName", "Vector store: database name")
	VectorsDatabaseSecretARN = declare(Vectors, "DatabaseSecretArn",
		"Vector store: secret with the administrator's user name and password, kept by RDS")
	VectorsDatabaseIdentifier = declare(Vectors, "DatabaseIdentifier",
		"Vector store: what `aws rds describe-db-instances` takes")
	ArtifactsBucketName = declare(Vectors, "ArtifactsBucketName",
		"Bucket of models, one folder each below models/")
	VectorsLoaderFunctionName = declare(Vectors, "LoaderFunctionName",
		"Function that creates the schema and loads a model")
	VectorsLoaderLogGroupName = declare(Vectors, "LoaderLogGroupName", "Log group of the loader")

	VectorsSchemaVersion = declare(VectorsData, "SchemaVersion", "Version of the vector store's schema after the load")
	ModelVersion         = declare(VectorsData, "ModelVersion", "Model that was active after the load")
)

// Outputs of the stacks Batch and BatchData.
var (
	SourceDatabaseHost = declare(Batch, "DatabaseHost",
		"Source: host name, reachable from the application subnets")
	SourceDatabasePort      = declare(Batch, "DatabasePort", "Source: port")
	SourceDatabaseName      = declare(Batch, "DatabaseName", "Source: database name")
	SourceDatabaseSecretARN = declare(Batch, "DatabaseSecretArn",
		"Source: secret with the administrator's user name and password, kept by RDS")
	SourceDatabaseIdentifier = declare(Batch, "DatabaseIdentifier",
		"Source: what `aws rds describe-db-instances` takes")
	SourceLoaderFunctionName = declare(Batch, "LoaderFunctionName",
		"Function that creates the source's schema and users, fills it, lets it live on, and queries it")
	SourceLoaderLogGroupName = declare(Batch, "LoaderLogGroupName", "Log group of the loader")
	LakeBucketName           = declare(Batch, "LakeBucketName",
		"Bucket of runs below ratings_ml_training/, of what was quarantined, and of what the tables list")
	ETLJobName         = declare(Batch, "EtlJobName", "Glue job, for `aws glue start-job-run` and `get-job-runs`")
	ETLStateMachineARN = declare(Batch, "EtlStateMachineArn",
		"State machine of the batch path, for `diecast etl` and `aws stepfunctions start-execution`")
	ETLTopicARN = declare(Batch, "EtlTopicArn",
		"Topic that hears how each execution of the state machine ended: subscribe whom it concerns")
	GlueDatabaseName    = declare(Batch, "GlueDatabaseName", "Catalogue of the lake's tables")
	AthenaWorkgroupName = declare(Batch, "AthenaWorkgroupName",
		"Athena workgroup with the saved queries and the limit on what a query reads")

	SourceSchemaVersion = declare(BatchData, "SchemaVersion", "Version of the source's schema after the load")
	SourceRows          = declare(BatchData, "SourceRows", "Rows of the source after the load")
)

// Outputs of the stack Streaming.
var (
	StreamName         = declare(Streaming, "StreamName", "Kinesis stream that takes activity events in")
	DeliveryStreamName = declare(Streaming, "DeliveryStreamName",
		"Firehose delivery stream that archives recommendations")
	DeliveryLogGroupName = declare(Streaming, "DeliveryLogGroupName",
		"Log group of Firehose's delivery errors")
	RecommendationsBucketName = declare(Streaming, "RecommendationsBucketName",
		"Bucket of archived recommendations, errors and given-up batches")
	RecommendationsTableName = declare(Streaming, "RecommendationsTableName",
		"DynamoDB table of each session's latest recommendations")
	TransformFunctionName = declare(Streaming, "TransformFunctionName",
		"Function that Firehose calls for each batch")
	DeliverFunctionName = declare(Streaming, "DeliverFunctionName",
		"Function that writes recommendations for the shop")
	InferenceFunctionName      = declare(Streaming, "InferenceFunctionName", "Function that recommends")
	TransformLogGroupName      = declare(Streaming, "TransformLogGroupName", "Log group of the transform function")
	DeliverLogGroupName        = declare(Streaming, "DeliverLogGroupName", "Log group of the deliver function")
	InferenceLogGroupName      = declare(Streaming, "InferenceLogGroupName", "Log group of the inference function")
	ArchiveGlueDatabaseName    = declare(Streaming, "ArchiveGlueDatabaseName", "Catalogue of the archive's tables")
	ArchiveAthenaWorkgroupName = declare(Streaming, "ArchiveAthenaWorkgroupName",
		"Athena workgroup with the archive's saved queries and the limit on what a query reads")
	LossesTopicARN = declare(Streaming, "LossesTopicArn",
		"Topic that hears of every object below errors/ and aws/lambda/: subscribe whoever redrives them")
	InferenceURL = declare(Streaming, "InferenceUrl",
		"Inference over HTTPS, for callers with IAM credentials")
)

// Outputs of the stack Web.
var (
	PageAddress = declare(Web, "PageAddress",
		"Address of the pages; with a certificate, the host that its name must point to")
	WebGroupName      = declare(Web, "WebGroupName", "Auto Scaling group of the web servers")
	WebTargetGroupARN = declare(Web, "WebTargetGroupArn",
		"Target group of the web servers, for `aws elbv2 describe-target-health`")
	WebLogsBucketName = declare(Web, "WebLogsBucketName", "Bucket of what the web servers log, by day and instance")
)

var declared []Output

func declare(stack Stack, name, meaning string) Output {
	output := Output{Stack: stack, Name: name, Meaning: meaning}
	declared = append(declared, output)
	return output
}

// All are the outputs of all stacks.
func All() []Output { return slices.Clone(declared) }
