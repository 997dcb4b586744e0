package config

// Data is what becomes of stored data.
type Data struct {
	// Removal is RemovalRetain or RemovalDestroy: what the stacks' resources would do.
	Removal string
	// Destroy is the second key: without it nothing is destroyed whatever Removal says.
	Destroy                bool
	AccessLogs             bool
	AccessLogRetentionDays int
}

// Values of data.removal.
const (
	RemovalRetain  = "retain"
	RemovalDestroy = "destroy"
)

// DestroysData says whether removing a stack removes its data: only if the
// policy (data.removal) and the explicit flag (data.destroy) both say so.
func (c Config) DestroysData() bool {
	return c.Data.Removal == RemovalDestroy && c.Data.Destroy
}

// ProtectsStacks says whether CloudFormation refuses to delete any of the stacks: where RDS would
// refuse to delete a database, when other stacks are gone already.
func (c Config) ProtectsStacks() bool {
	return c.Vectors.DeletionProtection || c.Source.DeletionProtection
}

var dataKeys = []Key{
	choice("data.removal", []string{RemovalRetain, RemovalDestroy},
		values[string]{lean: RemovalDestroy, standard: RemovalRetain, prod: RemovalRetain, course: RemovalDestroy},
		func(c *Config) *string { return &c.Data.Removal },
		"What removing a stack does to its data: retain keeps buckets, table and stream, and a final snapshot "+
			"of databases; destroy asks for data.destroy too."),
	boolean("data.destroy", every(false), func(c *Config) *bool { return &c.Data.Destroy },
		"The second of the two keys: data goes only if this is true and data.removal is destroy."),
	boolean("data.accessLogs", values[bool]{lean: false, standard: true, prod: true, course: false},
		func(c *Config) *bool { return &c.Data.AccessLogs },
		"Logs every access to a bucket in a bucket of its own."),
	integer("data.accessLogRetentionDays", 1, 3650, values[int]{lean: 30, standard: 90, prod: 365, course: 30},
		func(c *Config) *int { return &c.Data.AccessLogRetentionDays },
		"How long access logs are kept."),
}

var dataRules = []rule{
	{[]string{"data.destroy", "data.removal", "vectors.deletionProtection"}, Config.dataProblems},
}

// contradicts is why nothing may be protected where data goes.
const contradicts = "must be false where data.removal=destroy and data.destroy=true: " +
	"neither RDS nor CloudFormation would delete anything"

func (c Config) dataProblems() []Problem {
	var problems []Problem
	if c.DestroysData() && c.Vectors.DeletionProtection {
		problems = append(problems, Problem{Key: "vectors.deletionProtection", Value: "true", Allowed: contradicts})
	}
	if c.Data.Destroy && c.Data.Removal == RemovalRetain {
		problems = append(problems, Problem{Key: "data.destroy", Value: "true",
			Allowed: "must be false where data.removal=retain; set data.removal=destroy too if the data may go"})
	}
	return problems
}
