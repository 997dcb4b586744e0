package assembly

import "time"

// Reasons why a laptop ignores properties of things that run.
const (
	noEncryption = "the laptop keeps its data on its own disk, as it is"
	noTags       = "nobody is billed by tags on a laptop"
	noLifecycle  = "a run ends before anything expires"
)

const (
	mebibyte = 1 << 20
	forever  = -1
)

// Stream is an AWS::Kinesis::Stream.
type Stream struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Shards is the number of shards; an on-demand stream starts with four.
	Shards int
	// Retention is how long a record can be read.
	Retention time.Duration
}

// onDemandShards is what Kinesis gives a new on-demand stream: 4 MB/s of writes.
const onDemandShards = 4

func decodeStream(o *object) *Stream {
	o.ignore(noEncryption, "StreamEncryption")
	o.ignore(noTags, "Tags")
	stream := &Stream{
		Name:      o.text("Name"),
		Retention: time.Duration(o.integer("RetentionPeriodHours", 24, 24, 8760)) * time.Hour,
	}
	if o.part("StreamModeDetails").oneOf("StreamMode", "PROVISIONED", "ON_DEMAND") == "ON_DEMAND" {
		stream.Shards = onDemandShards
		if _, ok := o.value("ShardCount"); ok {
			o.refuse("ShardCount", "no shard count beside StreamMode ON_DEMAND")
		}
		return stream
	}
	o.need("ShardCount")
	stream.Shards = o.integer("ShardCount", 1, 1, 10_000)
	return stream
}

// StreamConsumer is an AWS::Kinesis::StreamConsumer: a consumer with enhanced fan-out.
type StreamConsumer struct {
	// Name is the physical name, which the template has to give.
	Name      string
	StreamARN string
}

func decodeStreamConsumer(o *object) *StreamConsumer {
	o.need("ConsumerName", "StreamARN")
	o.ignore(noTags, "Tags")
	return &StreamConsumer{Name: o.text("ConsumerName"), StreamARN: o.text("StreamARN")}
}

// DeliveryStream is an AWS::KinesisFirehose::DeliveryStream from a Kinesis stream to a bucket.
type DeliveryStream struct {
	// Name is the physical name that the template asks for; empty: any.
	Name      string
	SourceARN string
	BucketARN string
	// Prefix and ErrorOutputPrefix begin object keys, with Firehose's !{...} expressions not yet
	// evaluated.
	Prefix, ErrorOutputPrefix string
	// FileExtension ends object keys; empty: none.
	FileExtension string
	// GZIP says that objects are compressed.
	GZIP bool
	// An object is written when BufferBytes have gathered or BufferInterval has passed, whichever
	// is first.
	BufferBytes    int
	BufferInterval time.Duration
	// Processor is nil where records are delivered as they are.
	Processor *Processor
}

// Processor is the function that transforms records before delivery.
type Processor struct {
	FunctionARN string
	// A batch is sent when BufferBytes have gathered or BufferInterval has passed, whichever is
	// first.
	BufferBytes    int
	BufferInterval time.Duration
	// Retries is how often a failed invocation is tried again.
	Retries int
}

// decodeDeliveryStream takes limits and defaults from the API reference of Amazon Data Firehose
// (BufferingHints, ProcessorParameter) and from its developer guide's chapter on data
// transformation.
func decodeDeliveryStream(o *object) *DeliveryStream {
	o.need("DeliveryStreamType", "KinesisStreamSourceConfiguration", "ExtendedS3DestinationConfiguration")
	o.ignore(noTags, "Tags")
	o.oneOf("DeliveryStreamType", "KinesisStreamAsSource")

	source := o.part("KinesisStreamSourceConfiguration")
	source.need("KinesisStreamARN")
	source.ignore(noPermissions, "RoleARN")

	bucket := o.part("ExtendedS3DestinationConfiguration")
	bucket.need("BucketARN")
	bucket.ignore(noPermissions, "RoleARN")
	bucket.ignore(noEncryption, "EncryptionConfiguration")
	bucket.ignore("what cannot be delivered is told in the error output only", "CloudWatchLoggingOptions")
	bucket.oneOf("S3BackupMode", "Disabled")
	hints := bucket.part("BufferingHints")
	stream := &DeliveryStream{
		Name:              o.text("DeliveryStreamName"),
		SourceARN:         source.text("KinesisStreamARN"),
		BucketARN:         bucket.text("BucketARN"),
		Prefix:            bucket.text("Prefix"),
		ErrorOutputPrefix: bucket.text("ErrorOutputPrefix"),
		FileExtension:     bucket.text("FileExtension"),
		GZIP:              bucket.oneOf("CompressionFormat", "UNCOMPRESSED", "GZIP") == "GZIP",
		BufferBytes:       hints.integer("SizeInMBs", 5, 1, 128) * mebibyte,
		BufferInterval:    time.Duration(hints.integer("IntervalInSeconds", 300, 0, 900)) * time.Second,
	}
	processing := bucket.part("ProcessingConfiguration")
	if !processing.boolean("Enabled", false) {
		processing.ignore("processing is not enabled", "Processors")
		return stream
	}
	processors := processing.objects("Processors")
	if len(processors) != 1 {
		processing.refuse("Processors", "one processor of type Lambda")
	}
	for _, processor := range processors {
		stream.Processor = decodeProcessor(processor)
	}
	return stream
}

func decodeProcessor(o *object) *Processor {
	o.need("Type")
	o.oneOf("Type", "Lambda")
	parameters := o.named("Parameters", "ParameterName", "ParameterValue")
	parameters.need("LambdaArn")
	parameters.ignore(noPermissions, "RoleArn")
	return &Processor{
		FunctionARN:    parameters.text("LambdaArn"),
		BufferBytes:    int(parameters.number("BufferSizeInMBs", 1, 0.2, 3) * mebibyte),
		BufferInterval: time.Duration(parameters.integer("BufferIntervalInSeconds", 60, 0, 900)) * time.Second,
		Retries:        parameters.integer("NumberOfRetries", 3, 0, 300),
	}
}

// EventSourceMapping is an AWS::Lambda::EventSourceMapping from a Kinesis stream to a function.
type EventSourceMapping struct {
	// SourceARN is a stream's, or that of a consumer of one with enhanced fan-out.
	SourceARN string
	// Function is the function's name or ARN, as the template refers to it.
	Function string
	Enabled  bool
	// BatchSize is the most records of one invocation, BatchingWindow the longest wait for that
	// many.
	BatchSize      int
	BatchingWindow time.Duration
	// FromStart reads from TRIM_HORIZON, the oldest record; else from LATEST.
	FromStart bool
	// ParallelizationFactor is how many batches of one shard run at a time; order is kept per
	// partition key.
	ParallelizationFactor int
	// BisectOnError halves a failed batch before it is tried again.
	BisectOnError bool
	// ReportBatchItemFailures takes the sequence numbers in the answer as the failed ones.
	ReportBatchItemFailures bool
	// MaximumRetries of a failed batch, and the age beyond which its records are given up; negative
	// is without end.
	MaximumRetries   int
	MaximumRecordAge time.Duration
	// OnFailureARN is the bucket that takes what was given up; empty: it is dropped.
	OnFailureARN string
}

// decodeEventSourceMapping takes limits and defaults from the API reference of Lambda
// (CreateEventSourceMapping).
func decodeEventSourceMapping(o *object) *EventSourceMapping {
	o.need("EventSourceArn", "FunctionName", "StartingPosition")
	o.ignore(noTags, "Tags")
	mapping := &EventSourceMapping{
		SourceARN:             o.text("EventSourceArn"),
		Function:              o.text("FunctionName"),
		Enabled:               o.boolean("Enabled", true),
		BatchSize:             o.integer("BatchSize", 100, 1, 10_000),
		BatchingWindow:        time.Duration(o.integer("MaximumBatchingWindowInSeconds", 0, 0, 300)) * time.Second,
		FromStart:             o.oneOf("StartingPosition", "LATEST", "TRIM_HORIZON") == "TRIM_HORIZON",
		ParallelizationFactor: o.integer("ParallelizationFactor", 1, 1, 10),
		BisectOnError:         o.boolean("BisectBatchOnFunctionError", false),
		MaximumRetries:        o.integer("MaximumRetryAttempts", forever, forever, 10_000),
		MaximumRecordAge:      forever,
		OnFailureARN:          o.part("DestinationConfig").part("OnFailure").text("Destination"),
	}
	if age := o.integer("MaximumRecordAgeInSeconds", forever, forever, 604_800); age >= 60 {
		mapping.MaximumRecordAge = time.Duration(age) * time.Second
	} else if age != forever {
		o.refuse("MaximumRecordAgeInSeconds", "-1, or 60 to 604800")
	}
	for i, response := range o.texts("FunctionResponseTypes") {
		if response != "ReportBatchItemFailures" {
			o.fail(o.at.field("FunctionResponseTypes").index(i), "got %s, want ReportBatchItemFailures",
				shown(response))
		}
		mapping.ReportBatchItemFailures = true
	}
	return mapping
}
