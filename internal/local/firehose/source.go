package firehose

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"diecast/internal/shards"
)

// source reads every shard until the reading context ends or the stream cannot be read; each shard
// has a processor of its own, which works until it has passed on what was read.
func (p *Pump) source(reading, working context.Context, outcomes chan<- []outcome) error {
	position := types.ShardIteratorTypeLatest
	if p.config.FromTrimHorizon {
		position = types.ShardIteratorTypeTrimHorizon
	}
	err := shards.Reader{
		Stream: p.stream, Name: p.config.SourceStream, Position: position, PollInterval: p.config.PollInterval,
		Open:  func(_ context.Context, id string) shards.Handler { return p.openShard(working, id, outcomes) },
		Retry: p.retry,
		Ready: func() { close(p.ready) },
	}.Run(reading)
	if err == nil && reading.Err() == nil {
		return fmt.Errorf("stream %s has no open shard", p.config.SourceStream)
	}
	return err
}

// retry has the stream called until it answers, Attempts times at most.
func (p *Pump) retry(ctx context.Context, failure shards.Failure) bool {
	if failure.Attempt >= p.config.Attempts {
		return false
	}
	p.statistics.count(func(s *Statistics) { s.SourceRetries++ })
	return p.pause(ctx, failure.Attempt) == nil
}

// sourceShard gives a shard's records to a processor of their own.
type sourceShard struct {
	pump      *Pump
	working   context.Context
	id        string
	records   chan []record
	processed chan error
}

func (p *Pump) openShard(working context.Context, id string, outcomes chan<- []outcome) *sourceShard {
	s := &sourceShard{pump: p, working: working, id: id, records: make(chan []record, 1),
		processed: make(chan error, 1)}
	go func() { s.processed <- p.process(working, s.records, outcomes) }()
	return s
}

// Handle waits while the records are not taken: that bounds what is in memory.
func (s *sourceShard) Handle(records []types.Record) error {
	now := time.Now()
	read := make([]record, 0, len(records))
	for _, from := range records {
		read = append(read, newRecords(s.id, from, now)...)
	}
	s.pump.statistics.count(func(s *Statistics) { s.Taken += len(records) })
	s.pump.statistics.read(read)
	return send(s.working, s.records, read)
}

// Close waits until what was read is processed. Whoever ended the work tells why.
func (s *sourceShard) Close() error {
	close(s.records)
	if err := <-s.processed; err != nil && s.working.Err() == nil {
		return err
	}
	return nil
}
