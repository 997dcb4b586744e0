package firehose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// shardEnd tells that a shard was read to its end and processed, or why it could not be.
type shardEnd struct {
	id  string
	err error
}

// source reads every shard until the reading context ends or the stream cannot be read; each shard has a processor of its own,
// which works until it has passed on what was read. A shard that came of others is read after them, so that the order by
// partition key is kept.
func (p *Pump) source(reading, working context.Context, outcomes chan<- []outcome) error {
	reading, stop := context.WithCancel(reading)
	defer stop()
	ended := make(chan shardEnd)
	begun, done := map[string]bool{}, map[string]bool{}
	running := 0
	begin := func(position types.ShardIteratorType) error {
		shards, err := p.listShards(reading)
		if err != nil {
			return err
		}
		listed := map[string]bool{}
		for _, shard := range shards {
			listed[aws.ToString(shard.ShardId)] = true
		}
		waits := func(parent *string) bool { return parent != nil && listed[*parent] && !done[*parent] }
		for _, shard := range shards {
			id := aws.ToString(shard.ShardId)
			fromStart := position == types.ShardIteratorTypeTrimHorizon
			if begun[id] || fromStart && (waits(shard.ParentShardId) || waits(shard.AdjacentParentShardId)) {
				continue
			}
			iterator, err := p.iterator(reading, id, position, "")
			if err != nil {
				return err
			}
			begun[id] = true
			running++
			go func() { ended <- shardEnd{id, p.shard(reading, working, id, position, iterator, outcomes)} }()
		}
		return nil
	}

	first := types.ShardIteratorTypeLatest
	if p.config.FromTrimHorizon {
		first = types.ShardIteratorTypeTrimHorizon
	}
	err := begin(first)
	if errors.Is(err, errInterrupted) {
		err = nil
	} else if err == nil {
		close(p.ready)
	}
	for running > 0 {
		if err != nil {
			stop()
		}
		end := <-ended
		running--
		done[end.id] = true
		if !errors.Is(end.err, errInterrupted) {
			err = errors.Join(err, end.err)
		}
		if err == nil && reading.Err() == nil {
			// Shards that appear later are read whole.
			if failure := begin(types.ShardIteratorTypeTrimHorizon); !errors.Is(failure, errInterrupted) {
				err = failure
			}
		}
	}
	if err == nil && reading.Err() == nil {
		return fmt.Errorf("stream %s has no open shard", p.config.SourceStream)
	}
	return err
}

// errInterrupted says that the reading ended during a call, which is no failure.
var errInterrupted = errors.New("the reading ended")

// shard reads a shard to its end, or until the reading ends, and processes what was read.
func (p *Pump) shard(reading, working context.Context, id string, position types.ShardIteratorType, iterator *string, outcomes chan<- []outcome) error {
	records := make(chan []record, 1)
	processed := make(chan error, 1)
	go func() { processed <- p.process(working, records, outcomes) }()
	err := p.read(reading, working, id, position, iterator, records)
	close(records)
	if processError := <-processed; processError != nil && working.Err() == nil {
		return errors.Join(err, processError)
	}
	return err
}

// read passes the records of a shard on. It waits while they are not taken: that bounds what is in memory.
func (p *Pump) read(reading, working context.Context, id string, position types.ShardIteratorType, iterator *string, records chan<- []record) error {
	last := ""
	for iterator != nil {
		output, err := retry(reading, p, "read shard "+id+" of stream "+p.config.SourceStream, func() (*kinesis.GetRecordsOutput, error) {
			output, err := p.stream.GetRecords(reading, &kinesis.GetRecordsInput{ShardIterator: iterator})
			var expired *types.ExpiredIteratorException
			if errors.As(err, &expired) { // after five minutes in which nobody took records
				iterator, err = p.iterator(reading, id, position, last)
				if err == nil {
					output, err = p.stream.GetRecords(reading, &kinesis.GetRecordsInput{ShardIterator: iterator})
				}
			}
			return output, err
		})
		if err != nil {
			return err
		}
		if len(output.Records) > 0 {
			now := time.Now()
			read := make([]record, len(output.Records))
			for i, from := range output.Records {
				read[i] = newRecord(id, from, now)
			}
			p.statistics.read(read)
			if send(working, records, read) != nil {
				return nil // whoever ended the work tells why
			}
			last = read[len(read)-1].sequence
		}
		iterator = output.NextShardIterator
		if iterator != nil && (len(output.Records) == 0 || aws.ToInt64(output.MillisBehindLatest) == 0) {
			if wait(reading, p.config.PollInterval) != nil {
				return nil
			}
		}
	}
	return nil
}

func (p *Pump) listShards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	input := &kinesis.ListShardsInput{StreamName: aws.String(p.config.SourceStream)}
	for {
		output, err := retry(ctx, p, "list the shards of stream "+p.config.SourceStream, func() (*kinesis.ListShardsOutput, error) {
			return p.stream.ListShards(ctx, input)
		})
		if err != nil {
			return nil, err
		}
		shards = append(shards, output.Shards...)
		if output.NextToken == nil {
			return shards, nil
		}
		input = &kinesis.ListShardsInput{NextToken: output.NextToken}
	}
}

// iterator points behind the last sequence number, or to the position where there is none.
func (p *Pump) iterator(ctx context.Context, shard string, position types.ShardIteratorType, last string) (*string, error) {
	input := &kinesis.GetShardIteratorInput{StreamName: aws.String(p.config.SourceStream), ShardId: aws.String(shard), ShardIteratorType: position}
	if last != "" {
		input.ShardIteratorType, input.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, aws.String(last)
	}
	output, err := retry(ctx, p, "begin to read shard "+shard+" of stream "+p.config.SourceStream, func() (*kinesis.GetShardIteratorOutput, error) {
		return p.stream.GetShardIterator(ctx, input)
	})
	if err != nil {
		return nil, err
	}
	return output.ShardIterator, nil
}

// retry calls the stream until it answers, Attempts times at most. A stream that is not there is not asked again.
func retry[T any](ctx context.Context, p *Pump, what string, call func() (T, error)) (T, error) {
	for attempts := 1; ; attempts++ {
		output, err := call()
		if err == nil {
			return output, nil
		}
		if ctx.Err() != nil {
			return output, errInterrupted
		}
		var missing *types.ResourceNotFoundException
		if attempts >= p.config.Attempts || errors.As(err, &missing) {
			return output, fmt.Errorf("%s, attempt %d: %w", what, attempts, err)
		}
		p.statistics.count(func(s *Statistics) { s.SourceRetries++ })
		if p.pause(ctx, attempts) != nil {
			return output, errInterrupted
		}
	}
}
