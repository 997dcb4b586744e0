package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// disturbances are what the nemesis draws from; each is a fault of its own, too.
func disturbances() []disturbance {
	return []disturbance{
		killed(transform), killed(deliver), killed(inference),
		hung(transform, 2*time.Second), hung(deliver, 2*time.Second), hung(inference, 2*time.Second),
		hung(moto, 3*time.Second), hung(kinesalite, 3*time.Second), hung(dynalite, 3*time.Second),
		hung(postgres, 3*time.Second),
		{"sessions of PostgreSQL are ended", "SIGTERM to each backend that serves a client",
			func(_ context.Context, r *run, _ *rand.Rand) error {
				_ = r.send(sessions, syscall.SIGTERM) // there may be none just now
				return nil
			}},
		{"a shard is split", "SplitShard", func(ctx context.Context, r *run, chance *rand.Rand) error {
			return r.split(ctx, chance)
		}},
		{"two shards are merged", "MergeShards of neighbours", func(ctx context.Context, r *run, _ *rand.Rand) error {
			return r.merge(ctx)
		}},
		{"the model is switched", "to another model and back, three times",
			func(ctx context.Context, r *run, _ *rand.Rand) error { return r.switchModels(ctx, 3) }},
		{"the run is suspended", "SIGSTOP to all of its processes, SIGCONT 6 s later",
			func(ctx context.Context, r *run, _ *rand.Rand) error {
				own := process{id: r.child.Process.Pid}
				return r.suspend(ctx, append([]process{own}, r.processes()...), 6*time.Second)
			}},
	}
}

func killed(p part) disturbance {
	return disturbance{p.name + " is killed", "SIGKILL, three times while it works",
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			for range 3 {
				if err := r.reach(ctx, p, syscall.SIGKILL); err != nil {
					return err
				}
				if err := pass(ctx, 400*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		}}
}

func hung(p part, duration time.Duration) disturbance {
	return disturbance{p.name + " hangs", "SIGSTOP, SIGCONT " + inWords(duration) + " later",
		func(ctx context.Context, r *run, _ *rand.Rand) error { return r.hang(ctx, p, duration) }}
}

// table is everything that is tried; of each lane in this order. A run that one has begun, the next
// one takes.
func table() []fault {
	var faults []fault
	for _, d := range disturbances() {
		faults = append(faults, survived(d))
	}
	for _, d := range []disturbance{oddEvents(), lateEvents(), badRequests(), strangerAtTheDoor(), serverKilled(),
		guardKilled(), jobKilled(), bucketAway(10 * time.Second)} {
		faults = append(faults, survived(d))
	}
	faults = append(faults, nemesis(nemesisEvents), countsInSight())
	faults = append(faults, provenElsewhere()...)
	return append(faults,
		stoppedEarly(syscall.SIGINT, "INT"), stoppedEarly(syscall.SIGTERM, "TERM"), killedItself(),
		died(moto, "moto"), died(kinesalite, "kinesalite"), died(dynalite, "dynalite"), died(postgres, "postgres"),
		died(mariadb, "mariadb|mysql"),
		fatal("the stream is deleted", "DeleteStream under load", "delivery stream|consumer", func(ctx context.Context,
			r *run) error {
			_, err := r.to.Kinesis.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &r.to.Stream})
			return err
		}),
		asked(syscall.SIGINT, "INT"), askedByMany(), asked(syscall.SIGHUP, "HUP"), asked(syscall.SIGPIPE, "PIPE"),
		askedTwice(),
	)
}

// provenElsewhere are faults that tests of packages make happen.
func provenElsewhere() []fault {
	const millions = 1_000_000
	return []fault{
		proven("random schedules",
			fmt.Sprintf("%d events through both consumers, in one process, on a clock of their own",
				millions), "what became of the events is what the reference model says",
			proof{pattern: "^(TestSchedules|TestBreachesAreFound)$", folders: []string{"test/schedules"},
				arguments: []string{"-events", fmt.Sprint(millions), "-seed", "SEED"}}),
		proven("what transform may answer", "each behaviour of a processor, documented or not",
			"each record is delivered, dropped, or in the error output, once",
			proof{pattern: "^TestTransformContract$", folders: []string{"internal/local/firehose"}}),
		proven("what deliver may answer", "each behaviour of a mapping's function, documented or not",
			"each record is handled, or kept as given up",
			proof{pattern: "^TestDeliverContract$", folders: []string{"internal/local/eventsource"}}),
		proven("orders of arrival", "every order of events with equal times, doubled ids and degraded answers",
			"the row is the newest's by the reference, in Go and in DynamoDB's words",
			proof{pattern: "^(TestOrderContract|TestEveryOrderOfArrivalEndsWithTheSameRow|" +
				"TestConditionAgreesWithSupersedes)$",
				folders: []string{"internal/recommendation", "internal/recommendation/row"}}),
		proven("requests, part by part", "thousands that a seed makes odd, to every server of a run alone",
			"each is answered, what was stored is there, and more can be",
			proof{pattern: "^(TestNoRequestEnds|TestMalformedRequests)", folders: []string{
				"internal/local/kinesalite", "internal/local/dynalite", "internal/local/moto",
				"internal/local/lambdahost", "internal/local/gluejobs", "internal/local/fleet",
				"internal/local/balancer",
			}}),
		proven("a pump, poller, server or host ends", "by itself, in the process of the run; or it falls silent",
			"the run hears of it, with what ended and why",
			proof{pattern: "^(TestRun_background|TestRunning_tells|TestSilence_|TestExited_tells|TestAStreamThat|" +
				"TestStream_thatStaysAway|TestInvoke_thatNever)",
				folders: []string{"internal/local/provider", "internal/local/engine", "internal/local/lambdahost",
					"internal/local/firehose", "internal/local/eventsource"}}),
		proven("a bucket is away for a day", "on a clock of its own",
			"who comes back loses nothing; what is not kept after 24 hours is counted",
			proof{pattern: "^(TestABucketThat|TestTheEndDoesNotWait|TestDiscard_waitsADay)",
				folders: []string{"internal/local/firehose", "internal/local/eventsource"}}),
		proven("a web server dies or hangs", "its process, its answers, or its metadata service", "it is replaced",
			proof{pattern: "InstanceIsReplaced$|InstanceWithoutItsMetadata",
				folders: []string{"internal/local/fleet"}}),
		proven("what a function leaves", "children that leave its session, and a run that is killed with them",
			"nothing outlives the run", proof{pattern: "^(TestEndMarked|TestGuard|TestStartGuard)",
				folders: []string{"internal/local/process"}}),
	}
}

// markdown tells the table, by what must hold.
func markdown(faults []fault) string {
	var order []string
	groups := map[string][]fault{}
	for _, f := range faults {
		if groups[f.must] == nil {
			order = append(order, f.must)
		}
		groups[f.must] = append(groups[f.must], f)
	}
	var text strings.Builder
	for _, must := range order {
		fmt.Fprintf(&text, "| %s: | |\n| --- | --- |\n", must)
		for _, f := range groups[must] {
			fmt.Fprintf(&text, "| %s | %s |\n", f.name, f.does)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// openShards are those that take records, by the beginning of their keys.
func (r *run) openShards(ctx context.Context) ([]types.Shard, error) {
	listed, err := r.to.Kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &r.to.Stream})
	if err != nil {
		return nil, err
	}
	open := slices.DeleteFunc(listed.Shards, func(s types.Shard) bool {
		return s.SequenceNumberRange.EndingSequenceNumber != nil
	})
	slices.SortFunc(open, func(a, b types.Shard) int {
		return number(a.HashKeyRange.StartingHashKey).Cmp(number(b.HashKeyRange.StartingHashKey))
	})
	return open, nil
}

// most shards, so that a long nemesis does not divide for ever.
const most = 6

// split divides one shard in two.
func (r *run) split(ctx context.Context, chance *rand.Rand) error {
	open, err := r.openShards(ctx)
	if err != nil || len(open) >= most {
		return err
	}
	shard := open[chance.IntN(len(open))]
	low, high := number(shard.HashKeyRange.StartingHashKey), number(shard.HashKeyRange.EndingHashKey)
	middle := low.Add(low, high)
	middle.Rsh(middle, 1)
	_, err = r.to.Kinesis.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &r.to.Stream,
		ShardToSplit:       shard.ShardId,
		NewStartingHashKey: aws.String(middle.String())})
	return err
}

// merge joins the first two shards; one that is alone is divided before.
func (r *run) merge(ctx context.Context) error {
	open, err := r.openShards(ctx)
	if err != nil {
		return err
	}
	if len(open) < 2 {
		return r.split(ctx, rand.New(rand.NewPCG(0, 0)))
	}
	_, err = r.to.Kinesis.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &r.to.Stream,
		ShardToMerge: open[0].ShardId, AdjacentShardToMerge: open[1].ShardId})
	return err
}

// switchModels goes to the other model and back, so many times.
func (r *run) switchModels(ctx context.Context, times int) error {
	models, err := newCatalogue()
	if err != nil {
		return err
	}
	if err := r.loadOther(ctx); err != nil {
		return err
	}
	for range times {
		for _, version := range []string{models.other.version, models.shipped.version} {
			if err := r.switchTo(ctx, version); err != nil {
				return err
			}
			if err := pass(ctx, 300*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}
