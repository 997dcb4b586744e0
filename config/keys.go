package config

import (
	"net/netip"
	"regexp"
)

// Profiles, in the order of the columns of every table below.
const (
	Lean     = "lean"
	Standard = "standard"
	Prod     = "prod"
	Course   = "course"
)

var profiles = []string{Lean, Standard, Prod, Course}

// logRetentionDays are the periods that CloudWatch Logs offers (API reference,
// PutRetentionPolicy).
var logRetentionDays = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// A name that ends in a hyphen would give stacks named "x--Network".
var nameSyntax = regexp.MustCompile(`^[a-z][a-z0-9-]{0,18}[a-z0-9]$`)

// keys is every key there is, in the order of documentation. A key's values
// stand by profile: lean, standard, prod, course.
var keys = []Key{
	choice("profile", "The table of values for all keys that are not set; each key still overrides its own.",
		profiles, same(Lean), func(c *Config) *string { return &c.Profile }),
	text("name", "Begins the stacks' names, as in diecast-Network; another name is another platform beside this one.",
		nameSyntax, "2 to 20 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen",
		same("diecast"), func(c *Config) *string { return &c.Name }),
	email("alarms.email", "Is told of every alarm once it has confirmed SNS's first message; empty tells nobody.",
		same(""), func(c *Config) *string { return &c.Alarms.Email }),

	choice("data.removal", "What removing a stack does to its data: retain keeps buckets, table and stream, and a final snapshot of databases; destroy asks for data.destroy too.",
		[]string{RemovalRetain, RemovalDestroy}, by(RemovalDestroy, RemovalRetain, RemovalRetain, RemovalDestroy),
		func(c *Config) *string { return &c.Data.Removal }),
	boolean("data.destroy", "The second of the two keys: data goes only if this is true and data.removal is destroy.",
		same(false), func(c *Config) *bool { return &c.Data.Destroy }),
	boolean("data.accessLogs", "Logs every access to a bucket in a bucket of its own.",
		by(false, true, true, false), func(c *Config) *bool { return &c.Data.AccessLogs }),
	integer("data.accessLogRetentionDays", "How long access logs are kept.", 1, 3650,
		by(30, 90, 365, 30), func(c *Config) *int { return &c.Data.AccessLogRetentionDays }),

	cidr("network.cidr", "The VPC's range; it is cut into eighths, six of them used as subnets. Changing it replaces the VPC.",
		same(netip.MustParsePrefix("10.42.0.0/16")), func(c *Config) *netip.Prefix { return &c.Network.CIDR }),
	cidrs("network.reservedCidrs", "Ranges that the VPC must not overlap, such as those of networks it will be peered with.",
		func(c *Config) *[]netip.Prefix { return &c.Network.ReservedCIDRs }),
	choice("network.nat", "How the application subnets reach the internet: none costs nothing and needs interface endpoints, instance is one small EC2 instance, gateway is managed at 32.85 USD a month each.",
		[]string{NATNone, NATInstance, NATGateway}, by(NATNone, NATGateway, NATGateway, NATNone),
		func(c *Config) *string { return &c.Network.NAT }),
	integer("network.natGateways", "How many gateways serve network.nat=gateway: 2 survive the loss of a zone.", 1, 2,
		by(1, 1, 2, 1), func(c *Config) *int { return &c.Network.NATGateways }),
	boolean("network.sessionManager", "Adds the interface endpoints of Session Manager where there is no NAT, 21.90 USD a month and zone.",
		same(false), func(c *Config) *bool { return &c.Network.SessionManager }),
	boolean("network.endpointPerZone", "Puts interface endpoints in both zones, at twice the price, so that the loss of a zone leaves them.",
		by(false, false, true, false), func(c *Config) *bool { return &c.Network.EndpointPerZone }),
	oneOf("network.flowLogRetentionDays", "How long the log of refused traffic is kept.", logRetentionDays,
		by(7, 30, 365, 7), func(c *Config) *int { return &c.Network.FlowLogRetentionDays }),

	instanceClass("vectors.instanceClass", "The vector store's size; its memory bounds the connections and so the concurrency of inference.",
		by("db.t4g.micro", "db.t4g.small", "db.m7g.large", "db.t3.micro"), func(c *Config) *string { return &c.Vectors.InstanceClass }),
	integer("vectors.storageGiB", "The vector store's disk, which grows by itself to double.", 20, 16384,
		by(20, 20, 100, 20), func(c *Config) *int { return &c.Vectors.StorageGiB }),
	boolean("vectors.multiAz", "Keeps a standby of the vector store in the other zone, at twice the price.",
		by(false, false, true, false), func(c *Config) *bool { return &c.Vectors.MultiAZ }),
	integer("vectors.backupRetentionDays", "How far back the vector store can be restored; 0 keeps no automated backups.", 0, 35,
		by(1, 7, 14, 1), func(c *Config) *int { return &c.Vectors.BackupRetentionDays }),
	boolean("vectors.deletionProtection", "Refuses to delete the vector store until this is false and deployed.",
		by(false, false, true, false), func(c *Config) *bool { return &c.Vectors.DeletionProtection }),

	choice("streaming.mode", "provisioned pays 10.95 USD a month for each of streaming.shards; on-demand starts at 29.20 and follows the load.",
		[]string{ModeProvisioned, ModeOnDemand}, by(ModeProvisioned, ModeProvisioned, ModeOnDemand, ModeProvisioned),
		func(c *Config) *string { return &c.Streaming.Mode }),
	integer("streaming.shards", "Shards of a provisioned stream; each takes 1,000 records or 1 MB a second.", 1, 500,
		by(1, 1, 2, 1), func(c *Config) *int { return &c.Streaming.Shards }),
	integer("streaming.retentionHours", "How long an event can be read and replayed.", 24, 8760,
		by(24, 24, 168, 24), func(c *Config) *int { return &c.Streaming.RetentionHours }),
	integer("streaming.bufferMiB", "Size at which Firehose ends an archived object.", 1, 128,
		by(5, 64, 128, 5), func(c *Config) *int { return &c.Streaming.BufferMiB }),
	integer("streaming.bufferSeconds", "Age at which Firehose ends an archived object: longer makes fewer, larger, later ones.", 0, 900,
		by(60, 300, 60, 300), func(c *Config) *int { return &c.Streaming.BufferSeconds }),
	number("streaming.processorBufferMiB", "Size at which Firehose ends a batch for the transform function; a record grows about six times, and its answer must stay below 6 MB.", 0.2, 3,
		by(0.5, 0.5, 0.5, 1.0), func(c *Config) *float64 { return &c.Streaming.ProcessorBufferMiB }),
	integer("streaming.processorBufferSeconds", "Age at which Firehose ends a batch for the transform function: longer makes fewer invocations.", 0, 900,
		by(60, 10, 5, 60), func(c *Config) *int { return &c.Streaming.ProcessorBufferSeconds }),
	integer("streaming.batchSize", "Most events in one invocation of the deliver function.", 1, 10000,
		by(100, 100, 200, 100), func(c *Config) *int { return &c.Streaming.BatchSize }),
	integer("streaming.batchWindowSeconds", "How long a batch for the deliver function waits to fill; it is added to the shop's latency.", 0, 300,
		same(0), func(c *Config) *int { return &c.Streaming.BatchWindowSeconds }),
	integer("streaming.parallelization", "Batches of one shard that the deliver function handles at a time, in order for each session.", 1, 10,
		by(1, 2, 4, 1), func(c *Config) *int { return &c.Streaming.Parallelization }),
	integer("streaming.retryAttempts", "How often a failing batch of the deliver function is tried again before it is kept in S3.", 0, 10000,
		same(5), func(c *Config) *int { return &c.Streaming.RetryAttempts }),
	integer("streaming.maxRecordAgeSeconds", "Age at which the deliver function gives an event up and keeps it in S3.", 60, 604800,
		same(900), func(c *Config) *int { return &c.Streaming.MaxRecordAgeSeconds }),
	integer("streaming.archiveRetentionDays", "How long archived recommendations, which name customers, are kept.", 1, 3650,
		by(30, 90, 365, 30), func(c *Config) *int { return &c.Streaming.ArchiveRetentionDays }),
	integer("streaming.errorRetentionDays", "How long refused events and given-up batches can be redriven; erasure waits until they are gone.", 7, 14,
		by(7, 14, 14, 7), func(c *Config) *int { return &c.Streaming.ErrorRetentionDays }),
	integer("streaming.recommendationTtlHours", "How long a session's recommendations stay in the table.", 1, 8760,
		by(24, 72, 168, 24), func(c *Config) *int { return &c.Streaming.RecommendationTTLHours }),
	boolean("streaming.pointInTimeRecovery", "Lets the table be restored to any second of the last 35 days.",
		by(false, true, true, false), func(c *Config) *bool { return &c.Streaming.PointInTimeRecovery }),

	integer("inference.memoryMiB", "Memory of the inference function; its CPU share follows it.", 128, 10240,
		by(512, 512, 1024, 512), func(c *Config) *int { return &c.Inference.MemoryMiB }),
	integer("inference.reservedConcurrency", "Parallel executions set aside for inference, and its most; 0 shares the account's. New accounts allow 10 in all and refuse any reservation.", 0, 1000,
		by(0, 0, 50, 0), func(c *Config) *int { return &c.Inference.ReservedConcurrency }),
	oneOf("functions.logRetentionDays", "How long the logs of functions and of delivery are kept.", logRetentionDays,
		by(7, 30, 90, 7), func(c *Config) *int { return &c.Functions.LogRetentionDays }),

	integer("capacity.eventsPerSecond", "The peak of events that the platform must hold for minutes; a combination that cannot is refused.", 1, 100000,
		by(10, 100, 1000, 10), func(c *Config) *int { return &c.Capacity.EventsPerSecond }),
	integer("capacity.accountConcurrency", "The account's limit of parallel Lambda executions: 10 in new accounts, 1,000 in others; more than it really has means throttling.", 10, 100000,
		by(10, 1000, 1000, 10), func(c *Config) *int { return &c.Capacity.AccountConcurrency }),
}
