package config

import (
	"cmp"
	"maps"
	"slices"
)

// Vectors is the embeddings store.
type Vectors struct {
	InstanceClass       string
	StorageGiB          int
	MultiAZ             bool
	BackupRetentionDays int
	DeletionProtection  bool
	EngineVersion       string
	Generation          int
	// What follows bounds how far a refreshed model may differ from catalogue and model before.
	MinCatalogueOverlap float64
	MinPreviousOverlap  float64
	MaxVanished         float64
	LengthTolerance     float64
	MaxRunAgeDays       int
	// LoaderMemoryMiB is that of the function which loads and refreshes models.
	LoaderMemoryMiB int
}

var vectorsKeys = []Key{
	choice("vectors.instanceClass", InstanceClasses(),
		values[string]{lean: "db.t4g.micro", standard: "db.t4g.small", prod: "db.m7g.large", course: "db.t3.micro"},
		func(c *Config) *string { return &c.Vectors.InstanceClass },
		"The vector store's size; its memory bounds the connections: the concurrency of inference, and "+
			"web.maxInstances."),
	integer("vectors.storageGiB", 20, 16384, values[int]{lean: 20, standard: 20, prod: 100, course: 20},
		func(c *Config) *int { return &c.Vectors.StorageGiB },
		"The vector store's disk, which grows by itself to double and never shrinks."),
	boolean("vectors.multiAz", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Vectors.MultiAZ },
		"Keeps a standby of the vector store in the other zone, at twice the price."),
	integer("vectors.backupRetentionDays", 0, 35, values[int]{lean: 1, standard: 7, prod: 14, course: 1},
		func(c *Config) *int { return &c.Vectors.BackupRetentionDays },
		"How far back the vector store can be restored; 0 keeps no automated backups."),
	boolean("vectors.deletionProtection", values[bool]{lean: false, standard: false, prod: true, course: false},
		func(c *Config) *bool { return &c.Vectors.DeletionProtection },
		"Refuses to delete the vector store, and any stack, until this is false and deployed."),
	engineVersion("vectors.engineVersion", "PostgreSQL", createdPostgreSQL, ranPostgreSQL, postgreSQLSyntax,
		func(c *Config) *string { return &c.Vectors.EngineVersion }),
	generation("vectors.generation", "the vector store", func(c *Config) *int { return &c.Vectors.Generation }),
	number("vectors.minCatalogueOverlap", 0, 1, every(0.99),
		func(c *Config) *float64 { return &c.Vectors.MinCatalogueOverlap },
		"Share of the published products that a refreshed model must have; below it the model waits beside."),
	number("vectors.minPreviousOverlap", 0, 1, every(0.5),
		func(c *Config) *float64 { return &c.Vectors.MinPreviousOverlap },
		"Share of a refreshed model's items that the model before must have had; below it the model waits beside."),
	number("vectors.maxVanished", 0, 1, every(0.2),
		func(c *Config) *float64 { return &c.Vectors.MaxVanished },
		"Share of the items before that a refreshed model may lack; above it the model waits beside."),
	number("vectors.lengthTolerance", 1e-6, 1e-3, every(1e-3),
		func(c *Config) *float64 { return &c.Vectors.LengthTolerance },
		"How far the length of a refreshed vector may be from 1; above it the model waits beside."),
	integer("vectors.maxRunAgeDays", 1, 365, every(30),
		func(c *Config) *int { return &c.Vectors.MaxRunAgeDays },
		"How old the run may be whose catalogue the active model has, before an alarm tells."),
	integer("vectors.loaderMemoryMiB", 256, 5120, every(512),
		func(c *Config) *int { return &c.Vectors.LoaderMemoryMiB },
		"The vector loader's memory; its CPU follows it, and its disk is twice that. docs/vectors.md has what fits."),
}

// instanceMemoryGiB is the memory of the database classes that the platform was
// sized for (RDS user guide, "Hardware specifications for DB instance classes").
var instanceMemoryGiB = map[string]int{
	"db.t4g.micro": 1, "db.t4g.small": 2, "db.t4g.medium": 4, "db.t4g.large": 8,
	"db.t3.micro": 1, "db.t3.small": 2, "db.t3.medium": 4,
	"db.m7g.large": 8, "db.m7g.xlarge": 16, "db.m7g.2xlarge": 32,
	"db.r7g.large": 16, "db.r7g.xlarge": 32, "db.r7g.2xlarge": 64,
}

// InstanceClasses are those that a database can have, the smallest first.
func InstanceClasses() []string {
	return slices.SortedFunc(maps.Keys(instanceMemoryGiB), func(a, b string) int {
		return cmp.Or(cmp.Compare(instanceMemoryGiB[a], instanceMemoryGiB[b]), cmp.Compare(a, b))
	})
}

// MemoryMiB is the memory of the instance's class.
func (v Vectors) MemoryMiB() int { return instanceMemoryGiB[v.InstanceClass] << 10 }

// PostgreSQLMaxConnections is how many connections a PostgreSQL instance of the
// class takes: RDS's default of LEAST(DBInstanceClassMemory/9531392, 5000), with
// a quarter of the memory taken off for what the operating system and RDS keep
// of it: an instance of 1 GiB allows some 80, not the 112 of the formula.
func (v Vectors) PostgreSQLMaxConnections() int {
	memory := float64(instanceMemoryGiB[v.InstanceClass]) * (1 << 30) * 0.75
	return min(int(memory/9531392), 5000)
}
