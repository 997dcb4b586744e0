package config

import (
	"fmt"
	"maps"
	"slices"
)

const (
	// shardRecordsPerSecond and shardBytesPerSecond are what one Kinesis shard
	// takes in (Kinesis Data Streams quotas).
	shardRecordsPerSecond = 1000
	shardBytesPerSecond   = 1_000_000
	// eventBytes is an activity event with its optional fields, rounded up from
	// the 400 bytes of those without.
	eventBytes = 600
	// shardUse is how full a shard may be at the stated peak: partition keys do
	// not spread evenly, and the records of one session share a shard.
	shardUse = 0.75

	// invocationSeconds is how long a batch holds a function: one inference with
	// one SQL round trip, and a write for each event, at the 99th percentile.
	invocationSeconds = 1.0

	// connectionsPerExecution is the pool of one inference execution (internal/awsdb).
	connectionsPerExecution = 2
	// reservedConnections are kept for RDS itself, the loader and a person.
	reservedConnections = 10
)

// instanceMemoryGiB is the memory of the database classes that the platform was
// sized for (RDS user guide, "Hardware specifications for DB instance classes").
var instanceMemoryGiB = map[string]int{
	"db.t4g.micro": 1, "db.t4g.small": 2, "db.t4g.medium": 4, "db.t4g.large": 8,
	"db.t3.micro": 1, "db.t3.small": 2, "db.t3.medium": 4,
	"db.m7g.large": 8, "db.m7g.xlarge": 16, "db.m7g.2xlarge": 32,
	"db.r7g.large": 16, "db.r7g.xlarge": 32, "db.r7g.2xlarge": 64,
}

func instanceClasses() []string {
	return slices.SortedFunc(maps.Keys(instanceMemoryGiB), func(a, b string) int {
		if d := instanceMemoryGiB[a] - instanceMemoryGiB[b]; d != 0 {
			return d
		}
		return slices.Compare([]byte(a), []byte(b))
	})
}

// MaxConnections is how many connections the instance class takes: RDS's default
// of LEAST(DBInstanceClassMemory/9531392, 5000) for PostgreSQL, with a tenth of
// the memory taken off for what the operating system and RDS keep of it.
func (v Vectors) MaxConnections() int {
	memory := float64(instanceMemoryGiB[v.InstanceClass]) * (1 << 30) * 0.9
	return min(int(memory/9531392), 5000)
}

// neededShards is the least number of shards for a peak of events.
func neededShards(eventsPerSecond int) int {
	byRecords := float64(eventsPerSecond) / (shardRecordsPerSecond * shardUse)
	byBytes := float64(eventsPerSecond) * eventBytes / (shardBytesPerSecond * shardUse)
	return max(1, ceil(byRecords), ceil(byBytes))
}

// neededBatches is how many batches of the deliver function must be under way at
// the same time to keep up (Little's law).
func (c Config) neededBatches() int {
	return max(1, ceil(float64(c.Capacity.EventsPerSecond)*invocationSeconds/float64(c.Streaming.BatchSize)))
}

// shards is how many shards deliver in parallel at the stated peak.
func (c Config) shards() int {
	if c.Streaming.OnDemand() {
		return neededShards(c.Capacity.EventsPerSecond)
	}
	return c.Streaming.Shards
}

// executions is the most Lambda executions at a time: deliver's batches, one
// transform for each shard (Firehose invokes by shard), and the inference that
// each of them waits for.
func (c Config) executions() (deliver, transform, inference int) {
	deliver = c.shards() * c.Streaming.Parallelization
	transform = c.shards()
	inference = deliver + transform
	if c.Inference.ReservedConcurrency > 0 {
		inference = c.Inference.ReservedConcurrency
	}
	return deliver, transform, inference
}

// capacityProblems says which combinations cannot hold the stated load.
func (c Config) capacityProblems() []Problem {
	var problems []Problem
	refuse := func(key string, value any, format string, args ...any) {
		problems = append(problems, Problem{Key: key, Value: fmt.Sprint(value), Allowed: fmt.Sprintf(format, args...)})
	}
	events := c.Capacity.EventsPerSecond
	if needed := neededShards(events); !c.Streaming.OnDemand() && c.Streaming.Shards < needed {
		refuse("streaming.shards", c.Streaming.Shards, "at least %d for capacity.eventsPerSecond=%d, or streaming.mode=on-demand", needed, events)
	}
	deliver, transform, inference := c.executions()
	if needed := c.neededBatches(); deliver < needed {
		refuse("streaming.parallelization", c.Streaming.Parallelization,
			"%d shards and batches of %d events need %d batches at a time for capacity.eventsPerSecond=%d; raise it, streaming.shards or streaming.batchSize",
			c.shards(), c.Streaming.BatchSize, needed, events)
	}
	if reserved := c.Inference.ReservedConcurrency; reserved > 0 && reserved < deliver+transform {
		refuse("inference.reservedConcurrency", reserved, "0, or at least %d: that many executions of deliver and transform call it at a time", deliver+transform)
	}
	if reserved := c.Inference.ReservedConcurrency; reserved > 0 && reserved > c.Capacity.AccountConcurrency-100 {
		// Lambda keeps 100 executions unreserved in every account (Lambda quotas).
		refuse("inference.reservedConcurrency", reserved, "0, or at most capacity.accountConcurrency less 100, which is %d", c.Capacity.AccountConcurrency-100)
	}
	if total := deliver + transform + inference; total > c.Capacity.AccountConcurrency {
		refuse("capacity.accountConcurrency", c.Capacity.AccountConcurrency,
			"at least %d: %d deliver, %d transform and %d inference executions at a time; lower streaming.parallelization or ask AWS for more",
			total, deliver, transform, inference)
	}
	if needed := inference*connectionsPerExecution + reservedConnections; needed > c.Vectors.MaxConnections() {
		refuse("vectors.instanceClass", c.Vectors.InstanceClass,
			"a class with at least %d connections (this one has %d) for %d inference executions at a time",
			needed, c.Vectors.MaxConnections(), inference)
	}
	return problems
}

func ceil(f float64) int {
	n := int(f)
	if float64(n) < f {
		n++
	}
	return n
}
