package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"diecast/internal/schedule"
)

// Source is the shop's database that the batch job reads.
type Source struct {
	// Kind is what an empty source is filled with: SourceSample, SourceEmpty or SourceDump.
	Kind string
	// Scale and Seed are those of a sample.
	Scale float64
	Seed  int
	// DumpURI is where a dump lies, s3://bucket/key; empty for every other kind.
	DumpURI string
	// Owner is who is asked when the source's schema changes.
	Owner               string
	InstanceClass       string
	StorageGiB          int
	MultiAZ             bool
	BackupRetentionDays int
	DeletionProtection  bool
	EngineVersion       string
	Generation          int
}

// ETL is the batch job and what it publishes.
type ETL struct {
	Flex           bool
	TimeoutMinutes int
	// Schedule starts executions of the state machine; empty: nothing does.
	Schedule string
	Format   string
	// Strategy is what a run makes of the source and of what was seen before; LookbackDays are read
	// again by those that look back.
	Strategy     string
	LookbackDays int
	// Drift keys bound how far a run may lie from the published one: Rows, New and Vanished are
	// shares of what that had, Nulls a difference of shares, Mean one of ratings. Least is the
	// number of rows from which a table is judged.
	DriftRows, DriftNulls, DriftMean, DriftNew, DriftVanished float64
	DriftLeast                                                int
	MaxQuarantined                                            float64
	Connections                                               int
	KeepRuns                                                  int
	QuarantineRetentionDays                                   int
	ScanLimitMiB                                              int
}

// Values of source.kind.
const (
	SourceSample = "sample"
	SourceEmpty  = "empty"
	SourceDump   = "dump"
)

// Values of etl.format.
const (
	FormatParquet = "parquet"
	FormatCSV     = "csv"
)

// Values of etl.strategy.
const (
	StrategyReplace = "replace"
	StrategyLatest  = "latest"
	StrategyAverage = "average"
)

const (
	// maxSampleScale is what the loader takes in its 15 minutes, with a factor of four to spare:
	// 3,000,000 rows (docs/source.md, "How much").
	maxSampleScale = 468
	// otherSourceConnections are taken beside the job's and the web servers': RDS itself, the
	// loader's two pools, a person.
	otherSourceConnections = 10
	// connectionsPerServer is the pool of a web server, at each of the two databases.
	connectionsPerServer = 2
)

// An asterisk or a question mark in a key would be a pattern in the policy that lets the loader
// read it.
var (
	dumpSyntax  = regexp.MustCompile(`^$|^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.'()/=+@-]{1,900}$`)
	ownerSyntax = regexp.MustCompile(`^$|^[\pL\pN][\pL\pN\pP\pS ]{0,99}$`)
)

var batchKeys = []Key{
	choice("source.kind", []string{SourceSample, SourceEmpty, SourceDump}, every(SourceSample),
		func(c *Config) *string { return &c.Source.Kind },
		"What the empty source database is filled with, once: a generated shop, nothing, or source.dumpUri. "+
			"A source with rows stays as it is."),
	number("source.scale", 0.1, maxSampleScale, every(1.0), func(c *Config) *float64 { return &c.Source.Scale },
		"Size of the generated shop, in tenths; 1 is the course's."),
	integer("source.seed", 0, 1<<31-1, every(1), func(c *Config) *int { return &c.Source.Seed },
		"Another seed is another generated shop."),
	text("source.dumpUri", dumpSyntax, "s3://bucket/key, or empty", every(""),
		func(c *Config) *string { return &c.Source.DumpURI },
		"The dump that source.kind=dump loads; the loader may read this object and no other."),
	text("source.owner", ownerSyntax,
		"up to 100 letters, digits, signs and spaces, the first a letter or digit, or empty",
		every(""), func(c *Config) *string { return &c.Source.Owner },
		"Who is asked when the source's schema changes: a name or address that the job's errors repeat."),
	choice("source.instanceClass", InstanceClasses(),
		values[string]{lean: "db.t4g.micro", standard: "db.t4g.small", prod: "db.m7g.large", course: "db.t3.micro"},
		func(c *Config) *string { return &c.Source.InstanceClass },
		"The source database's size; its memory bounds etl.connections and web.maxInstances."),
	integer("source.storageGiB", 20, 16384, values[int]{lean: 20, standard: 20, prod: 100, course: 20},
		func(c *Config) *int { return &c.Source.StorageGiB },
		"The source database's disk, which grows by itself to double and never shrinks."),
	boolean("source.multiAz", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Source.MultiAZ },
		"Keeps a standby of the source database in the other zone, at twice the price."),
	integer("source.backupRetentionDays", 0, 35, values[int]{lean: 1, standard: 7, prod: 14, course: 1},
		func(c *Config) *int { return &c.Source.BackupRetentionDays },
		"How far back the source database can be restored; 0 keeps no automated backups."),
	boolean("source.deletionProtection", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Source.DeletionProtection },
		"Refuses to delete the source database, and any stack, until this is false and deployed."),
	engineVersion("source.engineVersion", "MySQL", createdMySQL, ranMySQL, mySQLSyntax,
		func(c *Config) *string { return &c.Source.EngineVersion }),
	generation("source.generation", "the source database", func(c *Config) *int { return &c.Source.Generation }),

	boolean("etl.flex", values[bool]{lean: true, standard: true, prod: false, course: false},
		func(c *Config) *bool { return &c.ETL.Flex },
		"Runs the job on spare capacity at two thirds of the price: it may start minutes late and lose a worker."),
	integer("etl.timeoutMinutes", 5, 1440, every(15),
		func(c *Config) *int { return &c.ETL.TimeoutMinutes },
		"Ends a run that takes longer; it bounds what a stuck run costs."),
	newKey("etl.schedule", "rate(...) or cron(...) as EventBridge has them, or empty", every(""),
		func(c *Config) *string { return &c.ETL.Schedule },
		"When the batch path runs by itself, in UTC, such as cron(0 3 * * ? *); empty: on demand only. "+
			"An alarm tells when nothing was published for twice as long as two starts are apart at most.",
		func(s string) (string, error) {
			if s == "" {
				return s, nil
			}
			_, err := schedule.Parse(s)
			return s, err
		}),
	choice("etl.format", []string{FormatParquet, FormatCSV}, every(FormatParquet),
		func(c *Config) *string { return &c.ETL.Format },
		"Format of the published files; changing it makes new tables, which are empty until the next run. "+
			"Athena reads csv line by line: a line end in a text ends a row."),
	number("etl.maxQuarantined", 0, 1, every(0.01),
		func(c *Config) *float64 { return &c.ETL.MaxQuarantined },
		"Share of a table's rows that may break a rule: they are kept apart and the rest is published; "+
			"above it nothing is."),
	choice("etl.strategy", []string{StrategyReplace, StrategyLatest, StrategyAverage}, every(StrategyReplace),
		func(c *Config) *string { return &c.ETL.Strategy },
		"What a run publishes: the source as it is (replace), or of all ratings ever seen the newest of each "+
			"customer and product (latest) or their mean (average)."),
	integer("etl.lookbackDays", 0, 36500, every(7), func(c *Config) *int { return &c.ETL.LookbackDays },
		"Days before the newest rating read so far that latest and average read again, for ratings that come late."),
	number("etl.driftRows", 0, 1000, every(0.5), func(c *Config) *float64 { return &c.ETL.DriftRows },
		"Share of the published run's rows by which a table may grow or shrink; a run beyond one of the etl.drift "+
			"keys is not published."),
	number("etl.driftNulls", 0, 1, every(0.1), func(c *Config) *float64 { return &c.ETL.DriftNulls },
		"Most by which a column's share of nulls may differ from the published run's."),
	number("etl.driftMean", 0, 4, every(0.5), func(c *Config) *float64 { return &c.ETL.DriftMean },
		"Most by which the mean rating, from 1 to 5, may differ from the published run's."),
	number("etl.driftNew", 0, 1000, every(0.5), func(c *Config) *float64 { return &c.ETL.DriftNew },
		"Most new products, as a share of those of the published run."),
	number("etl.driftVanished", 0, 1, every(0.1), func(c *Config) *float64 { return &c.ETL.DriftVanished },
		"Most products that may be gone, as a share of those of the published run."),
	integer("etl.driftLeast", 0, 1000000, every(100), func(c *Config) *int { return &c.ETL.DriftLeast },
		"Rows that a table must have had in the published run for its drift to be judged."),
	integer("etl.connections", 1, 64, values[int]{lean: 4, standard: 4, prod: 8, course: 4},
		func(c *Config) *int { return &c.ETL.Connections },
		"Most connections of the job to the source database at a time."),
	integer("etl.keepRuns", 1, 1000, values[int]{lean: 5, standard: 10, prod: 30, course: 5},
		func(c *Config) *int { return &c.ETL.KeepRuns },
		"How many published runs stay in the lake."),
	integer("etl.quarantineRetentionDays", 1, 365, every(7),
		func(c *Config) *int { return &c.ETL.QuarantineRetentionDays },
		"How long rows that were not published, which name customers, are kept."),
	integer("etl.scanLimitMiB", 10, 1<<20, values[int]{lean: 1024, standard: 10240, prod: 102400, course: 1024},
		func(c *Config) *int { return &c.ETL.ScanLimitMiB },
		"Most that one Athena query may read; Athena takes 5 USD a TB."),
}

var batchRules = []rule{
	{[]string{"source.kind", "source.dumpUri"}, Config.dumpProblems},
	{[]string{"source.scale"}, Config.scaleProblems},
	{[]string{"etl.schedule", "etl.timeoutMinutes"}, Config.scheduleProblems},
	{[]string{"source.instanceClass", "etl.connections", "web.maxInstances"}, Config.connectionProblems},
	{[]string{"data.destroy", "data.removal", "source.deletionProtection"}, Config.sourceDeletionProblems},
}

func (c Config) dumpProblems() []Problem {
	switch dump := c.Source.Kind == SourceDump; {
	case dump && c.Source.DumpURI == "":
		return []Problem{{Key: "source.dumpUri", Value: c.Source.DumpURI,
			Allowed: "must be s3://bucket/key where source.kind=dump"}}
	case !dump && c.Source.DumpURI != "":
		return []Problem{{Key: "source.dumpUri", Value: shown(c.Source.DumpURI),
			Allowed: fmt.Sprintf("must be empty where source.kind=%s; set source.kind=dump to load it", c.Source.Kind)}}
	}
	return nil
}

// scaleProblems refuses what the generator does: it counts in tenths.
func (c Config) scaleProblems() []Problem {
	text := strconv.FormatFloat(c.Source.Scale, 'f', -1, 64)
	if _, fraction, _ := strings.Cut(text, "."); len(fraction) > 1 {
		return []Problem{{Key: "source.scale", Value: text, Allowed: "must have one decimal at most"}}
	}
	return nil
}

// What an execution of the state machine may take beside the job's own time-out, in minutes.
const (
	// jobWaitMinutes is how long a Flex job may wait for capacity; its own time-out does not bound
	// that.
	jobWaitMinutes = 30
	// refreshMinutes is for the refresh of the vector store: the function's quarter of an hour, and
	// attempts that a service refuses.
	refreshMinutes = 20
	// tellMinutes is for what comes before and after the job, tried again where a service fails.
	tellMinutes = 15
)

// JobMinutes is how long the state machine waits for the job, waiting for capacity included.
func (e ETL) JobMinutes() int { return e.TimeoutMinutes + jobWaitMinutes }

// ExecutionMinutes is the longest that an execution of the state machine takes.
func (e ETL) ExecutionMinutes() int { return e.apartMinutes() + refreshMinutes }

// apartMinutes is how long an execution keeps the job from another one: the refresh that follows
// does not.
func (e ETL) apartMinutes() int { return e.JobMinutes() + tellMinutes }

// longestAlarm is the most that an alarm with periods of an hour or more looks at (CloudWatch API
// reference, PutMetricAlarm, EvaluationPeriods).
const longestAlarm = 7 * 24 * time.Hour

// QuietHours is after how many hours without a publication the schedule's alarm tells: twice the
// longest time between two starts, in whole hours, the period that it counts by. It is 0 without a
// schedule.
func (e ETL) QuietHours() int {
	read, err := schedule.Parse(e.Schedule)
	if err != nil {
		return 0
	}
	return int((2*read.Longest() + time.Hour - 1) / time.Hour)
}

// scheduleProblems refuses a schedule whose executions would meet, of which the later one fails,
// and one that its alarm cannot watch.
func (c Config) scheduleProblems() []Problem {
	read, err := schedule.Parse(c.ETL.Schedule)
	if err != nil {
		return nil // none
	}
	if least := time.Duration(c.ETL.apartMinutes()) * time.Minute; read.Shortest() < least {
		return []Problem{{Key: "etl.schedule", Value: c.ETL.Schedule,
			Allowed: fmt.Sprintf("must start at least %d minutes apart, and starts %.0f apart: the job runs once at a "+
				"time, and an execution takes up to etl.timeoutMinutes=%d, %d of waiting for capacity and %d around it",
				c.ETL.apartMinutes(), read.Shortest().Minutes(), c.ETL.TimeoutMinutes, jobWaitMinutes,
				tellMinutes)}}
	}
	if time.Duration(c.ETL.QuietHours())*time.Hour > longestAlarm {
		return []Problem{{Key: "etl.schedule", Value: c.ETL.Schedule,
			Allowed: fmt.Sprintf("must start at most %.0f hours apart, and starts up to %.0f apart: its alarm looks "+
				"back "+
				"over twice that, and CloudWatch lets an alarm look back %.0f hours; start rarer runs yourself, with "+
				"no "+
				"schedule", longestAlarm.Hours()/2, read.Longest().Hours(), longestAlarm.Hours())}}
	}
	return nil
}

// connectionProblems adds up who is connected to the source at the worst moment.
func (c Config) connectionProblems() []Problem {
	servers := c.Web.ServersWhileRolling()
	needed := c.ETL.Connections + servers*connectionsPerServer + otherSourceConnections
	has := c.Source.MySQLMaxConnections()
	if needed <= has {
		return nil
	}
	return []Problem{{Key: "source.instanceClass", Value: c.Source.InstanceClass,
		Allowed: fmt.Sprintf("must be a class with %d connections (this one has %d): etl.connections=%d, %d for each "+
			"of the %d web servers that web.maxInstances=%d makes while they roll, and %d for others%s; or lower "+
			"these keys", needed, has, c.ETL.Connections, connectionsPerServer, servers, c.Web.MaxInstances,
			otherSourceConnections, classFor(func(class string) bool {
				return (Source{InstanceClass: class}).MySQLMaxConnections() >= needed
			}))}}
}

func (c Config) sourceDeletionProblems() []Problem {
	if !c.DestroysData() || !c.Source.DeletionProtection {
		return nil
	}
	return []Problem{{Key: "source.deletionProtection", Value: "true", Allowed: contradicts}}
}

// MySQLMaxConnections is how many connections a MySQL instance of the class takes: RDS's default of
// DBInstanceClassMemory/12582880, with a quarter of the memory taken off for what the operating
// system and RDS keep of it.
func (s Source) MySQLMaxConnections() int {
	memory := float64(instanceMemoryGiB[s.InstanceClass]) * (1 << 30) * 0.75
	return int(memory / 12582880)
}

// MySQLBufferPool is the share of the memory that MySQL's buffer pool takes, as RDS's parameter
// innodb_buffer_pool_size says it. IAM logins want 300 to 1000 MiB more than passwords (RDS user
// guide, "IAM database authentication"), which RDS's default of three quarters does not leave on
// the small classes.
func (s Source) MySQLBufferPool() string {
	switch memory := instanceMemoryGiB[s.InstanceClass]; {
	case memory <= 1:
		return "{DBInstanceClassMemory*1/4}"
	case memory <= 2:
		return "{DBInstanceClassMemory*1/2}"
	}
	return "{DBInstanceClassMemory*3/4}"
}
