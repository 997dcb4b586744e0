package eventsource

import (
	"context"
	"hash/fnv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// laneReads is how many reads a lane holds before the shard's reader waits for it; one is at most
// 10 MB.
const laneReads = 2

// shard is handled by as many lanes as the mapping has parallelization: records of one partition
// key always take the same lane, and a lane handles one batch at a time.
type shard struct {
	poller *Poller
	ctx    context.Context // no invocation is begun after its end
	// stopping is closed when no more is read: nothing is tried again then.
	stopping <-chan struct{}
	id       string
	lanes    []chan []record
	work     sync.WaitGroup
}

func (p *Poller) openShard(reading, working context.Context, id string) *shard {
	s := &shard{poller: p, ctx: working, stopping: reading.Done(), id: id,
		lanes: make([]chan []record, p.mapping.Parallelization)}
	for n := range s.lanes {
		s.lanes[n] = make(chan []record, laneReads)
		s.work.Go(func() { s.lane(working, s.lanes[n]) })
	}
	return s
}

// Handle gives each lane its records in their order.
func (s *shard) Handle(records []types.Record) error {
	shares := make([][]record, len(s.lanes))
	for _, r := range records {
		n := laneOf(*r.PartitionKey, len(s.lanes))
		shares[n] = append(shares[n], s.poller.newRecord(s.id, r))
	}
	for n, share := range shares {
		if len(share) == 0 {
			continue
		}
		select {
		case s.lanes[n] <- share:
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	return nil
}

// Close waits until the lanes have handled what they were given, or the context has ended.
func (s *shard) Close() error {
	for _, lane := range s.lanes {
		close(lane)
	}
	s.work.Wait()
	return nil
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
		if len(batch) == 0 || ctx.Err() != nil || !s.handle(ctx, batch) {
			break
		}
	}
	for range reads { // what comes behind what is undone stays undone, too
	}
}

// collect returns the next batch, an empty one when the records or the context have ended: what has
// arrived, or what arrives within the window after the first, up to the batch's size and the size
// of an event.
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
