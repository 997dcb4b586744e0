package config

import (
	"fmt"
	"strconv"
)

// Streaming is the way of an event from the stream to the archive and the shop.
type Streaming struct {
	Mode                   string
	Shards                 int
	RetentionHours         int
	BufferMiB              int
	BufferSeconds          int
	ProcessorBufferMiB     float64
	ProcessorBufferSeconds int
	BatchSize              int
	BatchWindowSeconds     int
	Parallelization        int
	EnhancedFanOut         bool
	RetryAttempts          int
	MaxRecordAgeSeconds    int
	ArchiveRetentionDays   int
	ArchiveCompression     string
	ArchiveColdAfterDays   int
	ScanLimitMiB           int
	ErrorRetentionDays     int
	RecommendationTTLHours int
	PointInTimeRecovery    bool
}

// Values of streaming.mode.
const (
	ModeProvisioned = "provisioned"
	ModeOnDemand    = "on-demand"
)

// Values of streaming.archiveCompression.
const (
	CompressionNone = "none"
	CompressionGZIP = "gzip"
)

// ArchiveGZIP says whether archived objects are compressed.
func (s Streaming) ArchiveGZIP() bool { return s.ArchiveCompression == CompressionGZIP }

// LeastColdDays is how old archived objects must be at least before they move to S3's colder class,
// and for how many days at least that class is charged.
const LeastColdDays = 30

// OnDemand says whether Kinesis chooses the shards.
func (s Streaming) OnDemand() bool { return s.Mode == ModeOnDemand }

// Inference is the function that recommends, in the stack of the stream.
type Inference struct {
	MemoryMiB           int
	ReservedConcurrency int
	URL                 bool
}

// MostProcessorBufferMiB is where streaming.processorBufferMiB ends. The answer to a batch of a
// shop's events fits up to 1 MiB of them. A batch of the smallest events that the contract admits,
// for a catalogue of product codes and scores that take as much room as any, fits up to this;
// beyond, good events would be refused for nothing but their number. Tested in
// lambda/transform/handler.
const MostProcessorBufferMiB = 0.28

var streamingKeys = []Key{
	choice("streaming.mode", []string{ModeProvisioned, ModeOnDemand},
		values[string]{lean: ModeProvisioned, standard: ModeProvisioned, prod: ModeOnDemand, course: ModeProvisioned},
		func(c *Config) *string { return &c.Streaming.Mode },
		"provisioned pays 10.95 USD a month for each of streaming.shards; "+
			"on-demand starts at 29.20 and follows the load."),
	integer("streaming.shards", 1, 500, values[int]{lean: 1, standard: 1, prod: 2, course: 1},
		func(c *Config) *int { return &c.Streaming.Shards },
		"Shards of a provisioned stream; each takes 1,000 records or 1 MB a second. A deployment at most doubles "+
			"or halves them."),
	integer("streaming.retentionHours", 24, 8760, values[int]{lean: 24, standard: 24, prod: 168, course: 24},
		func(c *Config) *int { return &c.Streaming.RetentionHours },
		"How long an event can be read and replayed."),
	integer("streaming.bufferMiB", 1, 128, values[int]{lean: 5, standard: 64, prod: 128, course: 5},
		func(c *Config) *int { return &c.Streaming.BufferMiB },
		"Size at which Firehose ends an archived object."),
	integer("streaming.bufferSeconds", 0, 900, values[int]{lean: 60, standard: 300, prod: 60, course: 300},
		func(c *Config) *int { return &c.Streaming.BufferSeconds },
		"Age at which Firehose ends an archived object: longer makes fewer, larger, later ones."),
	number("streaming.processorBufferMiB", 0.2, MostProcessorBufferMiB, every(MostProcessorBufferMiB),
		func(c *Config) *float64 { return &c.Streaming.ProcessorBufferMiB },
		"Size at which Firehose ends a batch for the transform function. Its answer must stay below 6 MB: "+
			"an event grows about six times, the smallest up to twenty times. The course's lab has 1 MB."),
	integer("streaming.processorBufferSeconds", 0, 900, values[int]{lean: 60, standard: 10, prod: 5, course: 60},
		func(c *Config) *int { return &c.Streaming.ProcessorBufferSeconds },
		"Age at which Firehose ends a batch for the transform function: longer makes fewer invocations."),
	integer("streaming.batchSize", 1, 10000, values[int]{lean: 100, standard: 100, prod: 200, course: 100},
		func(c *Config) *int { return &c.Streaming.BatchSize },
		"Most records in one invocation of the deliver function; an aggregated record holds several events."),
	integer("streaming.batchWindowSeconds", 0, 300, every(0),
		func(c *Config) *int { return &c.Streaming.BatchWindowSeconds },
		"How long a batch for the deliver function waits to fill; it is added to the shop's latency."),
	integer("streaming.parallelization", 1, 10, values[int]{lean: 1, standard: 2, prod: 4, course: 1},
		func(c *Config) *int { return &c.Streaming.Parallelization },
		"Batches of one shard that the deliver function handles at a time, in order for each session."),
	boolean("streaming.enhancedFanOut", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Streaming.EnhancedFanOut },
		"Pushes events to the deliver function within about 0.1 s, with a throughput of its own, instead of asking "+
			"every second; about 11 USD a month for each shard, and 13 for a terabyte."),
	integer("streaming.retryAttempts", 0, 10000, every(5),
		func(c *Config) *int { return &c.Streaming.RetryAttempts },
		"How often a failing batch of the deliver function is tried again before it is kept in S3."),
	integer("streaming.maxRecordAgeSeconds", 60, 604800, every(900),
		func(c *Config) *int { return &c.Streaming.MaxRecordAgeSeconds },
		"Age at which the deliver function gives an event up and keeps it in S3."),
	integer("streaming.archiveRetentionDays", 1, 3650, values[int]{lean: 30, standard: 90, prod: 365, course: 30},
		func(c *Config) *int { return &c.Streaming.ArchiveRetentionDays },
		"How long archived recommendations, which name customers, are kept."),
	choice("streaming.archiveCompression", []string{CompressionNone, CompressionGZIP},
		values[string]{lean: CompressionNone, standard: CompressionNone, prod: CompressionGZIP,
			course: CompressionNone},
		func(c *Config) *string { return &c.Streaming.ArchiveCompression },
		"Whether archived objects are compressed, to about a tenth: 1,000 events a second make 5 TB a month of "+
			"what is not."),
	integer("streaming.archiveColdAfterDays", 0, 3650, values[int]{lean: 0, standard: 0, prod: 30, course: 0},
		func(c *Config) *int { return &c.Streaming.ArchiveColdAfterDays },
		"Age at which archived objects move to S3 Standard-IA, for half the price of storing them and a price for "+
			"reading; 0 moves none, else 30 or more, and 30 or more before streaming.archiveRetentionDays."),
	integer("streaming.scanLimitMiB", 10, 1<<20, values[int]{lean: 1024, standard: 10240, prod: 102400, course: 1024},
		func(c *Config) *int { return &c.Streaming.ScanLimitMiB },
		"Most that one Athena query of the archive may read; Athena takes 5 USD a TB."),
	integer("streaming.errorRetentionDays", 7, 14, values[int]{lean: 7, standard: 14, prod: 14, course: 7},
		func(c *Config) *int { return &c.Streaming.ErrorRetentionDays },
		"How long refused events and given-up batches can be redriven; erasure waits until they are gone."),
	integer("streaming.recommendationTtlHours", 1, 8760, values[int]{lean: 24, standard: 72, prod: 168, course: 24},
		func(c *Config) *int { return &c.Streaming.RecommendationTTLHours },
		"How long a session's recommendations stay in the table."),
	boolean("streaming.pointInTimeRecovery", values[bool]{lean: false, standard: true, prod: true, course: false},
		func(c *Config) *bool { return &c.Streaming.PointInTimeRecovery },
		"Lets the table be restored to any second of the last 35 days."),

	integer("inference.memoryMiB", 128, 10240, values[int]{lean: 512, standard: 512, prod: 1024, course: 512},
		func(c *Config) *int { return &c.Inference.MemoryMiB },
		"Memory of the inference function; its CPU share follows it."),
	integer("inference.reservedConcurrency", 0, 1000, values[int]{lean: 0, standard: 0, prod: 50, course: 0},
		func(c *Config) *int { return &c.Inference.ReservedConcurrency },
		"Parallel executions set aside for inference, and its most; 0 shares the account's. "+
			"New accounts allow 10 in all and refuse any reservation."),
	boolean("inference.url", every(true), func(c *Config) *bool { return &c.Inference.URL },
		"Gives inference an HTTPS address for callers with IAM credentials; some regions have none."),
}

var streamingRules = []rule{
	{[]string{"streaming.maxRecordAgeSeconds", "streaming.retentionHours"}, Config.retryProblems},
	{[]string{"streaming.archiveColdAfterDays", "streaming.archiveRetentionDays"}, Config.coldProblems},
}

func (c Config) retryProblems() []Problem {
	retention := c.Streaming.RetentionHours * 3600
	if c.Streaming.MaxRecordAgeSeconds <= retention {
		return nil
	}
	return []Problem{{Key: "streaming.maxRecordAgeSeconds", Value: strconv.Itoa(c.Streaming.MaxRecordAgeSeconds),
		Allowed: fmt.Sprintf("must be at most %d, the %d hours of streaming.retentionHours: "+
			"an expired record is not kept in S3", retention, c.Streaming.RetentionHours)}}
}

func (c Config) coldProblems() []Problem {
	cold, retention := c.Streaming.ArchiveColdAfterDays, c.Streaming.ArchiveRetentionDays
	if cold == 0 || cold >= LeastColdDays && cold+LeastColdDays <= retention {
		return nil
	}
	allowed := fmt.Sprintf("must be 0, as streaming.archiveRetentionDays is below %d", 2*LeastColdDays)
	if most := retention - LeastColdDays; most >= LeastColdDays {
		allowed = fmt.Sprintf("must be 0, or from %d to %d, which is %d before streaming.archiveRetentionDays",
			LeastColdDays, most, LeastColdDays)
	}
	return []Problem{{Key: "streaming.archiveColdAfterDays", Value: strconv.Itoa(cold),
		Allowed: allowed + ": S3 takes objects from that age on, and charges the class for as long at least"}}
}
