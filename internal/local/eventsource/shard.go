package eventsource

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	// readLimit is the most records of one read (Kinesis API Reference, GetRecords).
	readLimit = 10_000
	// laneReads is how many reads a lane holds before the shard's reader waits for it; one is at most 10 MB.
	laneReads = 2
)

// shard is read by one goroutine and handled by as many lanes as the mapping has parallelization: records of one partition
// key always take the same lane, and a lane handles one batch at a time.
type shard struct {
	poller   *Poller
	id       string
	position types.ShardIteratorType
	last     string // sequence number of the last record that a lane has; empty before the first
}

// run ends when the shard is closed and all of its records are handled, or with the context.
func (s *shard) run(ctx context.Context, started func()) error {
	lanes := make([]chan []record, s.poller.mapping.Parallelization)
	var work sync.WaitGroup
	for n := range lanes {
		lanes[n] = make(chan []record, laneReads)
		work.Go(func() { s.lane(ctx, lanes[n]) })
	}
	err := s.read(ctx, lanes, started)
	for _, lane := range lanes {
		close(lane)
	}
	work.Wait()
	return err
}

func (s *shard) read(ctx context.Context, lanes []chan []record, started func()) error {
	logger := s.poller.options.Logger.With(slog.String("stream", s.poller.stream), slog.String("shard", s.id))
	var iterator *string
	for attempt := 0; ctx.Err() == nil; {
		var output *kinesis.GetRecordsOutput
		var err error
		if iterator == nil {
			if iterator, err = s.iterator(ctx); err == nil {
				started()
			}
		}
		if err == nil {
			output, err = s.poller.options.Stream.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(readLimit)})
		}
		var gone *types.ResourceNotFoundException
		var expired *types.ExpiredIteratorException
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &gone):
			return err
		case errors.As(err, &expired):
			iterator = nil
			continue
		case err != nil:
			logger.Error("cannot read the shard", slog.Any("error", err))
			s.poller.pause(ctx, attempt)
			attempt++
			continue
		}
		attempt = 0
		if !s.hand(ctx, lanes, output.Records) || output.NextShardIterator == nil {
			return nil
		}
		iterator = output.NextShardIterator
		if len(output.Records) < readLimit {
			wait(ctx, s.poller.options.PollInterval)
		}
	}
	return nil
}

// iterator points behind the last record that a lane has.
func (s *shard) iterator(ctx context.Context) (*string, error) {
	input := &kinesis.GetShardIteratorInput{StreamName: &s.poller.stream, ShardId: &s.id, ShardIteratorType: s.position}
	if s.last != "" {
		input.ShardIteratorType, input.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &s.last
	}
	output, err := s.poller.options.Stream.GetShardIterator(ctx, input)
	if err != nil {
		return nil, err
	}
	return output.ShardIterator, nil
}

// hand gives each lane its records in their order; false when the context ends first.
func (s *shard) hand(ctx context.Context, lanes []chan []record, records []types.Record) bool {
	shares := make([][]record, len(lanes))
	for _, r := range records {
		n := laneOf(*r.PartitionKey, len(lanes))
		shares[n] = append(shares[n], s.poller.newRecord(s.id, r))
	}
	for n, share := range shares {
		if len(share) == 0 {
			continue
		}
		select {
		case lanes[n] <- share:
		case <-ctx.Done():
			return false
		}
	}
	if len(records) > 0 {
		s.last = *records[len(records)-1].SequenceNumber
	}
	return true
}

func laneOf(partitionKey string, lanes int) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(partitionKey)) // never fails
	return int(hash.Sum32() % uint32(lanes))
}

// lane handles batch after batch until its records end or the context does.
func (s *shard) lane(ctx context.Context, reads <-chan []record) {
	var waiting []record
	for {
		batch := s.collect(ctx, reads, &waiting)
		if len(batch) == 0 || ctx.Err() != nil {
			return
		}
		s.handle(ctx, batch)
	}
}

// collect returns the next batch, an empty one when the records or the context have ended: what has arrived, or what arrives
// within the window after the first, up to the batch's size and the size of an event.
func (s *shard) collect(ctx context.Context, reads <-chan []record, waiting *[]record) []record {
	mapping := s.poller.mapping
	if len(*waiting) == 0 {
		select {
		case more, open := <-reads:
			if !open {
				return nil
			}
			*waiting = more
		case <-ctx.Done():
			return nil
		}
	}
	window := time.NewTimer(mapping.BatchWindow)
	defer window.Stop()
	for {
		if n := fitting(*waiting, mapping.BatchSize); n == mapping.BatchSize || n < len(*waiting) {
			return take(waiting, n)
		}
		if mapping.BatchWindow == 0 {
			select {
			case more, open := <-reads:
				if open {
					*waiting = append(*waiting, more...)
					continue
				}
			default:
			}
			return take(waiting, len(*waiting))
		}
		select {
		case more, open := <-reads:
			if !open {
				return take(waiting, len(*waiting))
			}
			*waiting = append(*waiting, more...)
		case <-window.C:
			return take(waiting, len(*waiting))
		case <-ctx.Done():
			return nil
		}
	}
}

func take(waiting *[]record, n int) []record {
	batch := (*waiting)[:n:n]
	*waiting = (*waiting)[n:]
	return batch
}

// fitting is how many of the records make one batch.
func fitting(records []record, most int) int {
	size := eventFrame
	for n, r := range records[:min(len(records), most)] {
		size += len(r.wire) + 1
		if size > MaxPayload && n > 0 {
			return n
		}
	}
	return min(len(records), most)
}
