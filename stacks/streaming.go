package stacks

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"

	"diecast/config"
	"diecast/constructs/alarm"
	"diecast/constructs/datalake"
	"diecast/constructs/deliverystream"
	"diecast/constructs/eventstream"
	"diecast/constructs/golambda"
	"diecast/constructs/objectalarm"
	"diecast/constructs/recommendationtable"
	"diecast/constructs/securebucket"
	"diecast/constructs/streamconsumer"
	"diecast/internal/archive"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/internal/metrics"
	"diecast/internal/models"
	"diecast/sql"
)

// Streaming takes activity events in and gives recommendations out: archived in
// S3 by way of Firehose, and in a table that the shop reads within seconds.
type Streaming struct {
	Stack     awscdk.Stack
	Events    *eventstream.Stream
	Archive   *securebucket.Bucket
	Catalogue *datalake.Lake
	Losses    *objectalarm.Alarm
	Delivery  *deliverystream.DeliveryStream
	Table     *recommendationtable.Table
	Inference *golambda.Function
	Transform *golambda.Function
	Deliver   *golambda.Function
}

// NewStreaming adds the stack.
func NewStreaming(app constructs.Construct, cfg config.Config, network *Network, vectors *Vectors) *Streaming {
	stack := newStack(app, cfg, outputs.Streaming,
		"Kinesis, Firehose, the functions that recommend, and the table that the shop reads")
	s := &Streaming{Stack: stack}
	stream := eventstream.Props{
		OnDemand:            cfg.Streaming.OnDemand(),
		Shards:              cfg.Streaming.Shards,
		Retention:           time.Duration(cfg.Streaming.RetentionHours) * time.Hour,
		Destroy:             cfg.DestroysData(),
		AlarmTopic:          network.AlarmTopic,
		WritesRefusedAdvice: "raise streaming.shards, and look for one session that writes it all.",
	}
	if stream.OnDemand {
		stream.Shards = 0
	}
	s.Events = eventstream.New(stack, "Events", stream)
	s.Archive = securebucket.New(stack, "Archive", securebucket.Props{
		Expiries: []securebucket.Expiry{
			{
				Prefix: archive.Recommendations, After: days(cfg.Streaming.ArchiveRetentionDays),
				ColdAfter: days(cfg.Streaming.ArchiveColdAfterDays),
			},
			{Prefix: archive.Errors, After: days(cfg.Streaming.ErrorRetentionDays)},
			{Prefix: archive.Failures, After: days(cfg.Streaming.ErrorRetentionDays)},
		},
		Destroy:        cfg.DestroysData(),
		AccessLogs:     network.AccessLogs,
		UnloggedReason: unlogged,
	})
	s.Table = recommendationtable.New(stack, "Recommendations", recommendationtable.Props{
		PointInTimeRecovery: cfg.Streaming.PointInTimeRecovery,
		NoRecoveryReason: "The profile leaves point-in-time recovery out for its cost; a replay of the stream " +
			"derives the items again.",
		WritesRefusedAdvice: "look for one session that writes it all, or a limit on the table.",
		Destroy:             cfg.DestroysData(),
		AlarmTopic:          network.AlarmTopic,
	})
	s.addInference(cfg, network, vectors)
	s.addArchive(cfg, network)
	s.addDelivery(cfg, network)
	s.Catalogue = datalake.New(stack, "Catalogue", s.catalogue(cfg))
	s.Losses = objectalarm.New(stack, "Losses", objectalarm.Props{
		Bucket: s.Archive, Prefixes: []string{archive.Errors, archive.Failures},
		Description: "Events were refused or given up, and lie below " + archive.Errors + " or " + archive.Failures +
			": the saved query refused_by_reason says which; redrive what deserves it.",
		AlarmTopic: network.AlarmTopic,
	})
	alarm.New(stack, network.AlarmTopic, answerRules()...)

	output(stack, outputs.StreamName, s.Events.Stream().StreamName())
	output(stack, outputs.DeliveryStreamName, s.Delivery.Name())
	output(stack, outputs.DeliveryLogGroupName, s.Delivery.LogGroup().LogGroupName())
	output(stack, outputs.RecommendationsBucketName, s.Archive.Name())
	output(stack, outputs.ArchiveGlueDatabaseName, s.Catalogue.Database())
	output(stack, outputs.ArchiveAthenaWorkgroupName, s.Catalogue.Workgroup())
	output(stack, outputs.LossesTopicARN, s.Losses.Topic().TopicArn())
	output(stack, outputs.TransformLogGroupName, s.Transform.LogGroup().LogGroupName())
	output(stack, outputs.DeliverLogGroupName, s.Deliver.LogGroup().LogGroupName())
	output(stack, outputs.InferenceLogGroupName, s.Inference.LogGroup().LogGroupName())
	output(stack, outputs.RecommendationsTableName, s.Table.Name())
	output(stack, outputs.TransformFunctionName, s.Transform.Name())
	output(stack, outputs.DeliverFunctionName, s.Deliver.Name())
	output(stack, outputs.InferenceFunctionName, s.Inference.Name())
	if cfg.Inference.URL {
		output(stack, outputs.InferenceURL, s.Inference.AddURL())
	}
	return s
}

// addInference adds the one function that recommends, with its place in the
// network.
func (s *Streaming) addInference(cfg config.Config, network *Network, vectors *Vectors) {
	// Its secret-free login needs no interface endpoint: S3 is all it calls.
	group := network.NewSecurityGroup(s.Stack, "InferenceSecurityGroup", "Inference: to the vector store and to AWS",
		network.OpenS3, vectors.Database.Admit)
	s.Inference = golambda.New(s.Stack, "Inference", golambda.Props{
		Source:              "lambda/inference",
		Description:         "Recommends items for a batch of events or over HTTPS",
		MemoryMiB:           cfg.Inference.MemoryMiB,
		Timeout:             seconds(15),
		Environment:         functionVariables(cfg, vectors.environment(sql.ReaderRole, environment.IAM)),
		Files:               vectors.trusted.files(),
		LogRetention:        logRetention(cfg.Functions.LogRetentionDays),
		ReservedConcurrency: cfg.Inference.ReservedConcurrency,
		Network: &golambda.Network{
			VPC: network.VPC(), Subnets: network.ApplicationSubnets(), SecurityGroup: group,
		},
		ThrottlesAdvice: throttlesAdvice,
		AlarmTopic:      network.AlarmTopic,
	})
	vectors.Database.AllowLogin(s.Inference.Role(), sql.ReaderRole)
	s.Inference.Role().AllowObjects("ReadModels", []string{"s3:GetObject"}, vectors.Artifacts.ARN(), models.Prefix)
}

// addArchive adds the way to S3: Firehose with the transform function.
func (s *Streaming) addArchive(cfg config.Config, network *Network) {
	s.Transform = golambda.New(s.Stack, "Transform", golambda.Props{
		Source:          "lambda/transform",
		Description:     "Turns a Firehose batch of activity events into recommendation records",
		MemoryMiB:       256,
		Timeout:         seconds(60),
		Environment:     functionVariables(cfg, environment.Transform{Inference: s.recommender()}),
		LogRetention:    logRetention(cfg.Functions.LogRetentionDays),
		AlarmTopic:      network.AlarmTopic,
		ThrottlesAdvice: throttlesAdvice,
	})
	s.Transform.Role().AllowInvoke(s.Inference.ARN())
	s.Delivery = deliverystream.New(s.Stack, "Delivery", deliverystream.Props{
		Source:                  s.Events,
		Processor:               s.Transform,
		Bucket:                  s.Archive,
		Prefix:                  archive.Recommendations,
		ErrorPrefix:             archive.Errors,
		GZIP:                    cfg.Streaming.ArchiveGZIP(),
		Extension:               archiveExtension(cfg),
		BufferSize:              cfg.Streaming.BufferMiB,
		BufferInterval:          seconds(cfg.Streaming.BufferSeconds),
		ProcessorBufferBytes:    int(cfg.Streaming.ProcessorBufferMiB * (1 << 20)),
		ProcessorBufferInterval: seconds(cfg.Streaming.ProcessorBufferSeconds),
		ProcessorFailsAdvice:    "read its log, then redrive.",
		LogRetention:            logRetention(cfg.Functions.LogRetentionDays),
		AlarmTopic:              network.AlarmTopic,
	})
}

// addDelivery adds the way to the shop: the deliver function and its table.
func (s *Streaming) addDelivery(cfg config.Config, network *Network) {
	s.Deliver = golambda.New(s.Stack, "Deliver", golambda.Props{
		Source:      "lambda/deliver",
		Description: "Writes each session's latest recommendations to the table that the shop reads",
		MemoryMiB:   256,
		Timeout:     seconds(30),
		Environment: functionVariables(cfg, environment.Deliver{
			Inference: s.recommender(),
			Table:     *s.Table.Name(),
			Keep:      environment.Seconds(time.Duration(cfg.Streaming.RecommendationTTLHours) * time.Hour),
		}),
		LogRetention:    logRetention(cfg.Functions.LogRetentionDays),
		AlarmTopic:      network.AlarmTopic,
		ThrottlesAdvice: throttlesAdvice,
	})
	s.Deliver.Role().AllowInvoke(s.Inference.ARN())
	s.Deliver.Role().Allow("WriteRecommendations", []string{"dynamodb:PutItem"}, s.Table.Table().TableArn())
	streamconsumer.New(s.Stack, "DeliverConsumer", streamconsumer.Props{
		Stream:          s.Events,
		Function:        s.Deliver,
		Failures:        s.Archive,
		BatchSize:       cfg.Streaming.BatchSize,
		BatchWindow:     seconds(cfg.Streaming.BatchWindowSeconds),
		Parallelization: cfg.Streaming.Parallelization,
		EnhancedFanOut:  cfg.Streaming.EnhancedFanOut,
		RetryAttempts:   cfg.Streaming.RetryAttempts,
		MaxRecordAge:    seconds(cfg.Streaming.MaxRecordAgeSeconds),
		Dropped:         ofDeliver(metrics.Dropped, "Sum", 5*time.Minute),
		DroppedAdvice:   "its function's log says which rules they break, the archive's error output keeps them.",
		AlarmTopic:      network.AlarmTopic,
	})
}

// recommender tells a function which one recommends.
func (s *Streaming) recommender() environment.Inference {
	return environment.Inference{Function: *s.Inference.Name()}
}
