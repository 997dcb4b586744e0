package eventsource

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"diecast/internal/wait"
)

// batch is a run of records that is tried together. What it is split into inherits its counts.
type batch struct {
	records     []record
	retries     int // that it has used up
	invocations int
	answer      *Answer // of the last invocation; nil before the first
}

// with is a part of the batch.
func (b batch) with(records []record) batch {
	b.records = records
	return b
}

// handle tries the records in their order until each is handled or given up. It returns false where
// some are undone: the context has ended, or no more is read and a part would be tried again.
func (s *shard) handle(ctx context.Context, records []record) bool {
	p := s.poller
	queue := []batch{{records: records}}
	for unable := 0; len(queue) > 0 && ctx.Err() == nil; {
		b := queue[0]
		if old := s.expired(b.records); old > 0 {
			if !s.discard(ctx, b.with(b.records[:old]), recordAgeExceeded) {
				return false
			}
			queue = replace(queue, b.with(b.records[old:]))
			continue
		}
		// One that is under way is never cut off: the function's own time-out bounds it.
		answer, err := p.options.Invoker.Invoke(context.WithoutCancel(ctx), p.function, payload(b.records))
		if wait.IsPermanent(err) {
			p.giveUp(fmt.Errorf("the records of shard %s stay in stream %s: %w", s.id, p.stream, err))
			return false
		}
		if err != nil {
			p.counts.throttled.Add(1)
			p.options.Logger.Warn("cannot invoke the function; trying again", slog.String("function", p.function),
				slog.Any("error", err))
			p.pause(ctx, unable)
			unable++
			continue
		}
		unable = 0
		p.counts.invocations.Add(1)
		b.invocations++
		b.answer = &answer

		handled := s.handled(b, answer)
		p.counts.delivered.Add(int64(handled))
		rest := b.with(b.records[handled:])
		if len(rest.records) == 0 {
			queue = queue[1:]
			continue
		}
		p.counts.failed.Add(1)
		switch {
		case p.mapping.BisectOnError && handled > 0: // split where it failed
			queue = replace(queue, rest)
		case p.mapping.BisectOnError && len(rest.records) > 1:
			half := (len(rest.records) + 1) / 2
			queue = replace(queue, rest.with(rest.records[:half]), rest.with(rest.records[half:]))
		case p.mapping.RetryAttempts != EndlessRetries && rest.retries >= p.mapping.RetryAttempts:
			if !s.discard(ctx, rest, retryAttemptsExhausted) {
				return false
			}
			queue = queue[1:]
		case s.stopped():
			return false
		default:
			p.pause(ctx, rest.retries)
			rest.retries++
			queue = replace(queue, rest)
		}
	}
	return ctx.Err() == nil
}

// stopped tells whether no more is read.
func (s *shard) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// replace puts batches in the place of the first one; empty ones are left out.
func replace(queue []batch, batches ...batch) []batch {
	var kept []batch
	for _, b := range batches {
		if len(b.records) > 0 {
			kept = append(kept, b)
		}
	}
	return append(kept, queue[1:]...)
}

// handled is how many records, from the first on, the function handled.
func (s *shard) handled(b batch, answer Answer) int {
	if answer.FunctionError != "" {
		return 0
	}
	if !s.poller.mapping.ReportItemFailures {
		return len(b.records)
	}
	index, reason := firstFailure(answer.Payload, b.records)
	if reason != nil {
		s.poller.options.Logger.Error("the function's report cannot be understood: the whole batch counts as failed",
			slog.String("function", s.poller.function), slog.Any("error", reason))
	}
	return index
}

// expired is how many records, from the first on, are too old. A shard's records arrive in their
// order.
func (s *shard) expired(records []record) int {
	limit := s.poller.mapping.MaxRecordAge
	if limit == 0 {
		return 0
	}
	n := 0
	for n < len(records) && time.Since(records[n].arrived) > limit {
		n++
	}
	return n
}
