package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/classicmodels"
	"diecast/internal/demand"
	"diecast/internal/local/demonstration"
	"diecast/internal/producer"
	"diecast/internal/recommendation"
)

// size is how much load there is.
type size struct {
	// rates of a steady load, in events a second, tried from the highest down for so long each.
	rates  []float64
	steady time.Duration
	// burst is how long tenfold the highest rate that was sustained lasts.
	burst time.Duration
	// moderate is the rate, and around how long, of a load during which something happens.
	moderate float64
	around   time.Duration
	// stopped is how long the store is.
	stopped time.Duration
	// customers are in the shop at once.
	customers int
	// within is the promise: 99 of 100 events can be read so soon after they were due.
	within time.Duration
	// patience is how long the last event of a load may take to its place.
	patience time.Duration
}

// full is proven by itself, on a machine that does nothing else; small among other tests, where a
// latency would tell more of them than of the platform.
var (
	full = size{
		rates: []float64{1000, 700, 500, 350, 250, 150, 100}, steady: time.Minute, burst: 5 * time.Second,
		moderate: 300, around: 30 * time.Second, stopped: 10 * time.Second, customers: 10_000, within: time.Second,
		patience: 5 * time.Minute,
	}
	small = size{
		rates: []float64{50}, steady: 2 * time.Second, burst: time.Second, moderate: 40, around: 4 * time.Second,
		stopped: 2 * time.Second, customers: 500, within: time.Minute, patience: 2 * time.Minute,
	}
)

// sent is a load that the platform has lived through.
type sent struct {
	demonstration.Report
	account string
}

// p99 of the sample.
func (s sent) p99() time.Duration { return demonstration.Percentile(s.Readable, 99) }

func (s sent) String() string {
	return fmt.Sprintf("readable p50 %s, p99 %s, of %d sampled; %s",
		demonstration.Percentile(s.Readable, 50).Round(time.Millisecond), s.p99().Round(time.Millisecond),
		len(s.Readable), s.account)
}

// lag is the largest of all seconds.
func (s sent) lag() (most time.Duration) {
	for _, second := range s.Flow {
		most = max(most, second.Lag)
	}
	return most
}

// holds is the promise.
func (s size) holds(who string, p99 time.Duration) error {
	if p99 <= s.within {
		return nil
	}
	return fmt.Errorf("%s: 99 of 100 events could be read after %s, %s is promised", who, p99.Round(time.Millisecond),
		s.within)
}

// load sends events of the shop by a profile, while something happens, and holds the account of all
// that the stream took to what came of it.
func (s size) load(
	ctx context.Context, b *bench, r *run, profile demand.Profile,
	change func(int, producer.Event) producer.Event, meanwhile func(context.Context) error,
) (sent, error) {
	shop, err := shop()
	if err != nil {
		return sent{}, err
	}
	before := r.ledger.Account()
	happened := make(chan error, 1)
	go func() {
		if meanwhile == nil {
			happened <- nil
			return
		}
		happened <- meanwhile(ctx)
	}()
	var taken []producer.Receipt
	report, err := demonstration.Run(r.while(ctx), r.to, demonstration.Options{
		Shop: shop, Events: min(profile.Events(), demonstration.MaxEvents), Profile: profile, Patience: s.patience,
		Activity: classicmodels.EventOptions{
			Seed: b.chance.Uint64(), Sessions: s.customers, Customers: s.customers, BrokenShare: 0.02,
		},
		Change: change,
		// The ledger, which reads every event, has to wait until the load is over.
		Taken: func(some []producer.Receipt) { taken = append(taken, some...) },
	})
	err = errors.Join(err, <-happened)
	for _, one := range taken {
		r.ledger.Put(one.Event.Data)
		r.ledger.Acknowledge(activity.Place{Stream: r.to.Stream, Shard: one.Shard,
			SequenceNumber: one.SequenceNumber}, one.Event.Data)
	}
	account, err := b.accounted(ctx, r, before, err, s.patience)
	if report.Unread > 0 {
		err = errors.Join(err, fmt.Errorf("%d of the sample could never be read", report.Unread))
	}
	return sent{report, account}, err
}

// loads are what must hold under load, in the order in which they are tried: the first finds the
// rate of the second, and the third leaves the shards of the fourth.
func loads(s size) []fault {
	sustained := s.rates[len(s.rates)-1]
	proof := func(name, does, must string, try func(context.Context, *bench, *run) (string, error)) fault {
		return fault{name: name, does: does, must: must, within: 20 * time.Minute,
			try: func(ctx context.Context, b *bench) (string, error) {
				r, err := b.run(ctx)
				if err != nil {
					return "", err
				}
				return try(ctx, b, r)
			}}
	}
	const once = "every event comes to its place, once and whole"
	return []fault{
		proof("steady load", fmt.Sprintf("%v events a second of %d customers for %s; less where that is too much",
			s.rates[0], s.customers, s.steady),
			fmt.Sprintf("99 of 100 events can be read within %s at one of the rates %v, the highest of which is "+
				"told; %s", s.within, s.rates, once),
			func(ctx context.Context, b *bench, r *run) (string, error) {
				// What is promised is promised of functions that are warm.
				if through, err := s.load(ctx, b, r, demand.Steady(s.moderate/2, s.burst), nil, nil); err != nil {
					return through.String(), err
				}
				var told []string
				for _, rate := range s.rates {
					through, err := s.load(ctx, b, r, demand.Steady(rate, s.steady), nil, nil)
					told = append(told, fmt.Sprintf("%v a second: %s", rate, through))
					if err != nil {
						return strings.Join(told, "; "), err
					}
					if s.holds("", through.p99()) == nil {
						sustained = rate
						return strings.Join(append(told, fmt.Sprintf("held at %v a second", rate)), "; "), nil
					}
				}
				return strings.Join(told, "; "), errors.New("the promise holds at none of the rates")
			}),
		proof("tenfold load", fmt.Sprintf("ten times the rate that was sustained for %s", s.burst),
			"the lag may grow, and the platform recovers: the same load as before is read in time again; "+once,
			func(ctx context.Context, b *bench, r *run) (string, error) {
				over, err := s.load(ctx, b, r, demand.Steady(10*sustained, s.burst), nil, nil)
				told := fmt.Sprintf("%v a second: lag up to %s; %s", 10*sustained,
					over.lag().Round(time.Millisecond), over)
				if err != nil {
					return told, err
				}
				after, err := s.load(ctx, b, r, demand.Steady(sustained/2, s.burst), nil, nil)
				return fmt.Sprintf("%s; afterwards %s", told, after),
					errors.Join(err, s.holds("afterwards", after.p99()))
			}),
		proof("reshard under load", fmt.Sprintf("a shard is split in two and two are merged, at %v events a second",
			s.moderate), once,
			func(ctx context.Context, b *bench, r *run) (string, error) {
				through, err := s.load(ctx, b, r, demand.Steady(s.moderate, s.around), nil,
					func(ctx context.Context) error {
						third := s.around / 3
						return errors.Join(pass(ctx, third), r.split(ctx, b.chance), pass(ctx, third), r.merge(ctx))
					})
				return through.String(), err
			}),
		proof("one session sends half of all events", fmt.Sprintf("%v events a second to two shards, half of them of "+
			"one session", s.moderate),
			fmt.Sprintf("it slows its own shard at most: in the others 99 of 100 events can be read within %s; %s",
				s.within, once),
			s.hotSession),
		proof("the store is stopped", fmt.Sprintf("SIGSTOP to PostgreSQL for %s, at %v events a second", s.stopped,
			s.moderate),
			fmt.Sprintf("the second rung answers, from memory, and nothing is degraded; 99 of 100 events can be read "+
				"within %s; %s", s.within, once),
			s.stoppedStore),
	}
}

// hotSession sends half of all events by one session.
func (s size) hotSession(ctx context.Context, b *bench, r *run) (string, error) {
	open, err := r.openShards(ctx)
	if err == nil && len(open) < 2 {
		err = r.split(ctx, b.chance)
	}
	if err != nil {
		return "", err
	}
	hot := uuid.NewString()
	through, err := s.load(ctx, b, r, demand.Steady(s.moderate, s.around),
		func(number int, event producer.Event) producer.Event {
			if number%2 == 0 {
				event.Data = bytes.ReplaceAll(event.Data, []byte(event.Key), []byte(hot))
				event.Key = hot
			}
			return event
		}, nil)
	if err != nil {
		return through.String(), err
	}
	own := through.ShardOf[hot]
	var others []time.Duration
	for shard, took := range through.ByShard {
		if shard != own {
			others = append(others, took...)
		}
	}
	if len(others) == 0 {
		return through.String(), errors.New("no other shard had an event of the sample")
	}
	p99 := demonstration.Percentile(others, 99)
	return fmt.Sprintf("its shard p99 %s, the others' %s; %s",
		demonstration.Percentile(through.ByShard[own], 99).Round(time.Millisecond), p99.Round(time.Millisecond),
		through), s.holds("in other shards", p99)
}

// stoppedStore has the vector store stand still for a while.
func (s size) stoppedStore(ctx context.Context, b *bench, r *run) (string, error) {
	through, err := s.load(ctx, b, r, demand.Steady(s.moderate, s.around), nil, func(ctx context.Context) error {
		return errors.Join(pass(ctx, (s.around-s.stopped)/2), r.hang(ctx, postgres, s.stopped))
	})
	told := fmt.Sprintf("%s; answered by rung: %v", through, through.Rungs)
	if through.Rungs[recommendation.Memory] == 0 {
		err = errors.Join(err, errors.New("nothing was answered from memory"))
	}
	if popular := through.Rungs[recommendation.Popular]; popular > 0 {
		err = errors.Join(err, fmt.Errorf("%d events were answered by the most popular products", popular))
	}
	return told, errors.Join(err, s.holds("with the store stopped", through.p99()))
}
