package provider

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/uuid"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/eventsource"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/ledger"
	"diecast/internal/metrics"
	"diecast/internal/wait"
)

var eventSourceMapping = kind[assembly.EventSourceMapping]{
	types: []string{"AWS::Lambda::EventSourceMapping"},
	needs: []engine.Engine{engine.Kinesalite, engine.FunctionHost, engine.Moto},
	check: checkEventSourceMapping, create: createEventSourceMapping,
}

// Consumer is an event source mapping at work.
type Consumer struct {
	*Invocations

	name, stream string
	poller       *eventsource.Poller
	// log is what its function has said since the mapping began.
	log *functionLog
}

// Account is what became of the stream's records so far. What the function says that it dropped it
// has handled, but did not deliver.
func (c *Consumer) Account() (ledger.Consumer, error) {
	counts := c.poller.Stats()
	dropped, err := c.log.count(metrics.Dropped)
	dropped = min(dropped, int(counts.Delivered)) // an invocation under way has said it already
	told := ledger.Consumer{
		Name: c.name, Kind: "event source mapping", Stream: c.stream, Delivered: int(counts.Delivered) - dropped,
		Dropped: dropped, Discarded: map[string]int{}, Repeated: int(counts.Failed),
	}
	for condition, records := range counts.Kept {
		told.Discarded[condition] = int(records)
	}
	told.GivenUp = int(counts.Discarded) - ledger.Sum(told.Discarded)
	return told, err
}

// Invoke runs the function.
func (c *Consumer) Invoke(ctx context.Context, _ string, payload []byte) (eventsource.Answer, error) {
	result, err := c.invoke(ctx, payload)
	if errors.Is(err, lambdahost.ErrNotFound) || errors.Is(err, lambdahost.ErrTooLarge) ||
		errors.Is(err, lambdahost.ErrInvalidPayload) {
		err = wait.Permanent(err)
	}
	return eventsource.Answer{
		RequestID: result.RequestID, Payload: result.Payload, FunctionError: result.FunctionError,
	}, err
}

const bucketARN = "arn:aws:s3:::"

// checkEventSourceMapping has the mapping itself look at what is known of it.
func checkEventSourceMapping(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.EventSourceMapping,
) (problems assembly.Problems) {
	if t.OnFailureARN != "" && !strings.HasPrefix(t.OnFailureARN, bucketARN) {
		problems = append(problems, resource.Problem("Properties.DestinationConfig.OnFailure.Destination",
			"got %q, want the ARN of a bucket: what is given up is kept there only", t.OnFailureARN))
	}
	known := *t
	const later = "told-when-it-is-made"
	known.SourceARN = cmp.Or(t.SourceARN, arn("kinesis", "stream/%s", later))
	known.Function = cmp.Or(t.Function, later)
	if err := mapping(later, &known).Validate(); err != nil {
		problems = append(problems, resource.Problem("Properties", "%v", err))
	}
	return problems
}

// mapping with this UUID, as package eventsource knows it.
func mapping(id string, t *assembly.EventSourceMapping) eventsource.Mapping {
	function := lastPart(t.Function, ":")
	made := eventsource.Mapping{
		UUID: id, StreamARN: t.SourceARN, FunctionARN: arn("lambda", "function:%s", function),
		RoleARN:          "arn:aws:iam::" + engine.Account + ":role/" + function,
		StartingPosition: types.ShardIteratorTypeLatest,
		BatchSize:        t.BatchSize, BatchWindow: t.BatchingWindow, Parallelization: t.ParallelizationFactor,
		RetryAttempts: max(t.MaximumRetries, eventsource.EndlessRetries), MaxRecordAge: max(t.MaximumRecordAge, 0),
		BisectOnError: t.BisectOnError, ReportItemFailures: t.ReportBatchItemFailures,
		FailureBucket: strings.TrimPrefix(t.OnFailureARN, bucketARN),
	}
	if t.FromStart {
		made.StartingPosition = types.ShardIteratorTypeTrimHorizon
	}
	return made
}

func createEventSourceMapping(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.EventSourceMapping,
) (assembly.Creation, error) {
	id := uuid.NewString()
	creation := assembly.Creation{Ref: id, Attributes: map[string]any{
		"Id": id, "EventSourceMappingArn": arn("lambda", "event-source-mapping:%s", id),
	}}
	if !t.Enabled {
		return creation, nil
	}
	host := engine.FunctionHost.In(run.Engines)
	consumer := &Consumer{Invocations: &Invocations{Function: lastPart(t.Function, ":"), host: host}}
	log, err := run.log("consumer-" + resource.LogicalID)
	if err != nil {
		return assembly.Creation{}, err
	}
	if consumer.log, err = followLog(host.LogFile(consumer.Function)); err != nil {
		return assembly.Creation{}, err
	}
	made := mapping(id, t)
	poller, err := eventsource.New(made, eventsource.Options{
		Stream: engine.Kinesalite.In(run.Engines).Client(), Bucket: engine.Moto.In(run.Engines).S3(),
		Logger: log, Invoker: consumer,
	})
	if err != nil {
		return assembly.Creation{}, err
	}
	consumer.name, consumer.stream, consumer.poller = resource.String(), made.Stream(), poller
	if err := run.background(ctx, task{
		name: "consumer of " + resource.String(), run: poller.Run, ready: poller.Ready(), giveUp: poller.GiveUp,
	}); err != nil {
		return assembly.Creation{}, err
	}
	keep(run, consumer)
	return creation, nil
}
