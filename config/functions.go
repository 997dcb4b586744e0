package config

// Functions is what all functions share.
type Functions struct {
	LogRetentionDays int
	LogLevel         string
}

// logLevels are those of the package log/slog, from the most to the least that is told.
var logLevels = []string{"debug", "info", "warn", "error"}

// logRetentionDays are the periods that CloudWatch Logs offers (API reference,
// PutRetentionPolicy).
var logRetentionDays = []int{
	1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
}

var functionsKeys = []Key{
	oneOf("functions.logRetentionDays", logRetentionDays, values[int]{lean: 7, standard: 30, prod: 90, course: 7},
		func(c *Config) *int { return &c.Functions.LogRetentionDays },
		"How long the logs of functions, of delivery and of web servers are kept."),
	choice("functions.logLevel", logLevels, every("info"),
		func(c *Config) *string { return &c.Functions.LogLevel },
		"What functions log at least: each refused event is a warning. Metrics are written at every level."),
}
