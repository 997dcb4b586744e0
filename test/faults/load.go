package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"diecast/internal/activity"
	"diecast/internal/classicmodels"
)

const (
	// perSecond is the rate of sending.
	perSecond = 100
	// batchSize is how many records one put takes.
	batchSize = 20
	// brokenShare of the events breaks the contract.
	brokenShare = 0.1
	// mostFailures in a row end the sending: the stream is gone. One may be a connection that the
	// server closed while it was hung.
	mostFailures = 3
)

// load is a shop's activity on its way to the stream.
type load struct {
	done chan struct{}
	err  error // why the sending ended early; read after done only

	mutex sync.Mutex
	puts  [][]byte
	acks  []acknowledged
}

type acknowledged struct {
	place activity.Place
	data  []byte
}

// startLoad sends so many events of the shop, and ends early where the stream is gone. Nothing is
// sent twice: what becomes of a put without an answer the stream itself tells.
func (v *view) startLoad(ctx context.Context, seed uint64, events int) *load {
	l := &load{done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = l.send(ctx, v, seed, events)
	}()
	return l
}

// shop is the one that the shipped model was trained on.
var shop = sync.OnceValues(func() (*classicmodels.Shop, error) {
	options := classicmodels.DefaultOptions()
	options.Seed = 1
	return classicmodels.New(options)
})

func (l *load) send(ctx context.Context, v *view, seed uint64, count int) error {
	shop, err := shop()
	if err != nil {
		return err
	}
	events, err := shop.Events(classicmodels.EventOptions{Seed: seed, Sessions: 40, BrokenShare: brokenShare,
		Clock: time.Now})
	if err != nil {
		return err
	}
	begun, sent, failures := time.Now(), 0, 0
	var batch []types.PutRecordsRequestEntry
	for event := range events {
		batch = append(batch, types.PutRecordsRequestEntry{Data: event.Payload, PartitionKey: &event.SessionID})
		sent++
		if len(batch) == batchSize || sent == count {
			due := begun.Add(time.Duration(sent) * time.Second / perSecond)
			if err := pass(ctx, time.Until(due)); err != nil {
				return err
			}
			if err := l.put(ctx, v, batch); err == nil {
				failures = 0
			} else if failures++; failures == mostFailures {
				return err
			}
			batch = nil
		}
		if sent == count {
			return nil
		}
	}
	return nil
}

// put puts a batch once.
func (l *load) put(ctx context.Context, v *view, batch []types.PutRecordsRequestEntry) error {
	answer, err := v.to.Kinesis.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &v.to.Stream, Records: batch},
		func(options *kinesis.Options) { options.RetryMaxAttempts = 1 })
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, entry := range batch {
		l.puts = append(l.puts, entry.Data)
	}
	if err != nil {
		return fmt.Errorf("put %d records: %w", len(batch), err)
	}
	for i, result := range answer.Records {
		if result.ErrorCode != nil {
			continue
		}
		l.acks = append(l.acks, acknowledged{data: batch[i].Data, place: activity.Place{Stream: v.to.Stream,
			Shard: aws.ToString(result.ShardId), SequenceNumber: aws.ToString(result.SequenceNumber)}})
	}
	return nil
}

// wait waits until all was sent, and has the ledger know what the stream said it took.
func (l *load) wait(v *view) error {
	<-l.done
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, data := range l.puts {
		v.ledger.Put(data)
	}
	for _, one := range l.acks {
		v.ledger.Acknowledge(one.place, one.data)
	}
	return l.err
}

// waitCutOff is wait where the stream has gone: what it acknowledged stands for what it held.
func (l *load) waitCutOff(v *view) {
	_ = l.wait(v) // it ended because the stream had gone
	for _, one := range l.acks {
		// The shop's events bring their identity and their time: that of arrival does not count.
		v.ledger.Take(v.taken(one.place.Shard, one.place.SequenceNumber, time.Now(), one.data))
	}
}
