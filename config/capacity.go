package config

import "fmt"

// Capacity is the load that the platform must hold.
type Capacity struct {
	EventsPerSecond    int
	AccountConcurrency int
}

var capacityKeys = []Key{
	integer("capacity.eventsPerSecond", 1, 100000, values[int]{lean: 10, standard: 100, prod: 1000, course: 10},
		func(c *Config) *int { return &c.Capacity.EventsPerSecond },
		"The peak of events that the platform must hold for minutes; a combination that cannot is refused."),
	integer("capacity.accountConcurrency", 10, 100000, values[int]{lean: 10, standard: 1000, prod: 1000, course: 10},
		func(c *Config) *int { return &c.Capacity.AccountConcurrency },
		"The account's limit of parallel Lambda executions: 10 in new accounts, 1,000 in others; "+
			"more than it really has means throttling."),
}

var capacityRules = []rule{{
	[]string{"capacity.eventsPerSecond", "capacity.accountConcurrency", "streaming.mode", "streaming.shards",
		"streaming.batchSize", "streaming.parallelization", "inference.reservedConcurrency", "vectors.instanceClass",
		"web.maxInstances"},
	Config.capacityProblems,
}}

const (
	// shardRecordsPerSecond and shardBytesPerSecond are what one Kinesis shard
	// takes in (Kinesis Data Streams quotas).
	shardRecordsPerSecond = 1000
	shardBytesPerSecond   = 1_000_000
	// eventBytes is an activity event with its optional fields, rounded up from
	// the 400 bytes of those without.
	eventBytes = 600
	// onDemandShards is what a new on-demand stream holds, 4,000 records or 4 MB a
	// second; it grows only with what it has seen (Kinesis developer guide, "Choose
	// the right mode").
	onDemandShards = 4
	// shardUse is how full a shard may be at the stated peak: partition keys do
	// not spread evenly, and the records of one session share a shard. AWS's own
	// example adds shards at 0.80 (Big Data Blog, "Scale your Amazon Kinesis stream
	// capacity with UpdateShardCount"); ours is a fixed number, so it starts earlier.
	shardUse = 0.75
	// shardEventsPerSecond is what a shard takes in of events: records or bytes,
	// whichever end first.
	shardEventsPerSecond = min(shardRecordsPerSecond, shardBytesPerSecond/eventBytes) * shardUse

	// invocationSeconds is how long a batch holds a function: one inference with
	// one SQL round trip, and a write for each event, at the 99th percentile.
	invocationSeconds = 1.0

	// connectionsPerExecution is the pool of one inference execution (internal/awsdb).
	connectionsPerExecution = 2
	// deploymentOverlap counts executions twice: for a while after a deployment,
	// Lambda keeps the old ones and their connections beside the new.
	deploymentOverlap = 2
	// reservedConnections are kept for RDS itself, the loader and a person.
	reservedConnections = 10

	// otherExecutions run beside the stream's: a loader, the provider framework that
	// waits for it (stacks go one after another), and one HTTP request to inference.
	otherExecutions = 3
	// unreservedExecutions is what Lambda leaves to functions without a
	// reservation (Lambda developer guide, "Configuring reserved concurrency").
	unreservedExecutions = 100
	// mostParallelization is the most that Lambda allows for a shard (CreateEventSourceMapping).
	mostParallelization = 10
)

// neededShards is the least number of shards for a peak of events.
func neededShards(eventsPerSecond int) int {
	return max(1, ceil(float64(eventsPerSecond)/shardEventsPerSecond))
}

// eventsUnderWay is how many events the deliver function must hold at the same
// time to keep up (Little's law).
func (c Config) eventsUnderWay() float64 {
	return float64(c.Capacity.EventsPerSecond) * invocationSeconds
}

// neededBatches is how many batches of the deliver function hold them.
func (c Config) neededBatches() int {
	return max(1, ceil(c.eventsUnderWay()/float64(c.Streaming.BatchSize)))
}

// shards is how many shards deliver in parallel at the stated peak.
func (c Config) shards() int {
	if c.Streaming.OnDemand() {
		return max(onDemandShards, neededShards(c.Capacity.EventsPerSecond))
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
	needed := neededShards(events)
	switch {
	case c.Streaming.OnDemand() && needed > onDemandShards:
		refuse("streaming.mode", c.Streaming.Mode,
			"must be provisioned with at least %d shards for capacity.eventsPerSecond=%d: a new on-demand stream "+
				"holds %d shards' worth and grows only with what it has seen; where it is deployed, each deployment "+
				"can at most double its shards", needed, events, onDemandShards)
	case !c.Streaming.OnDemand() && c.Streaming.Shards < needed:
		refuse("streaming.shards", c.Streaming.Shards,
			"must be at least %d for capacity.eventsPerSecond=%d, %.0f events a second for each; "+
				"where the stream is deployed, each deployment can at most double them",
			needed, events, shardEventsPerSecond)
	}

	// Too few shards are refused above; the rest is reckoned with enough.
	c.Streaming.Shards = max(c.Streaming.Shards, needed)
	if perShard := (c.neededBatches() + c.shards() - 1) / c.shards(); perShard > mostParallelization {
		refuse("streaming.batchSize", c.Streaming.BatchSize,
			"must be at least %d for capacity.eventsPerSecond=%d with %d shards, "+
				"even with streaming.parallelization=%d",
			ceil(c.eventsUnderWay()/float64(c.shards()*mostParallelization)), events, c.shards(), mostParallelization)
	} else if c.Streaming.Parallelization < perShard {
		refuse("streaming.parallelization", c.Streaming.Parallelization,
			"must be at least %d for capacity.eventsPerSecond=%d with %d shards and batches of %d events; "+
				"larger batches or more shards need less", perShard, events, c.shards(), c.Streaming.BatchSize)
	}

	deliver, transform, inference := c.executions()
	account := c.Capacity.AccountConcurrency
	if reserved := c.Inference.ReservedConcurrency; reserved > 0 {
		least, most := deliver+transform, account-unreservedExecutions
		switch {
		case most < least:
			refuse("inference.reservedConcurrency", reserved,
				"must be 0: deliver and transform call it %d at a time, and of capacity.accountConcurrency=%d "+
					"Lambda leaves %d unreserved", least, account, unreservedExecutions)
		case reserved < least || reserved > most:
			refuse("inference.reservedConcurrency", reserved,
				"must be 0 or from %d, the calls of deliver and transform at a time, to %d, "+
					"capacity.accountConcurrency less the %d that Lambda leaves unreserved",
				least, most, unreservedExecutions)
		}
	}
	if total := deliver + transform + inference + otherExecutions; total > account {
		refuse("capacity.accountConcurrency", account,
			"must be at least %d: %d deliver, %d transform, %d inference and %d other executions at a time; "+
				"lower streaming.parallelization%s or ask AWS for more",
			total, deliver, transform, inference, otherExecutions, c.parallelizationThatFits())
	}
	servers := c.Web.ServersWhileRolling()
	connections := inference*connectionsPerExecution*deploymentOverlap + servers*connectionsPerServer +
		reservedConnections
	if most := c.Vectors.PostgreSQLMaxConnections(); connections > most {
		refuse("vectors.instanceClass", c.Vectors.InstanceClass,
			"must be a class with %d connections (this one has %d) for %d inference executions at a time and the %d "+
				"web servers that web.maxInstances=%d makes while they roll%s",
			connections, most, inference, servers, c.Web.MaxInstances, classFor(func(class string) bool {
				return (Vectors{InstanceClass: class}).PostgreSQLMaxConnections() >= connections
			}))
	}
	return problems
}

// parallelizationThatFits names the most that the account holds, where any does.
func (c Config) parallelizationThatFits() string {
	for p := c.Streaming.Parallelization; p >= 1; p-- {
		c.Streaming.Parallelization = p
		deliver, transform, inference := c.executions()
		if deliver+transform+inference+otherExecutions <= c.Capacity.AccountConcurrency {
			return fmt.Sprintf(" to %d", p)
		}
	}
	return ""
}

// classFor names the smallest class that is enough, where one is.
func classFor(enough func(class string) bool) string {
	for _, class := range InstanceClasses() {
		if enough(class) {
			return ", such as " + class
		}
	}
	return ""
}

func ceil(f float64) int {
	n := int(f)
	if float64(n) < f {
		n++
	}
	return n
}
