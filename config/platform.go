package config

import "regexp"

// Alarms is who hears of alarms.
type Alarms struct {
	Email string
}

// A name that ends in a hyphen would give stacks named "x--Network".
var nameSyntax = regexp.MustCompile(`^[a-z][a-z0-9-]{0,18}[a-z0-9]$`)

var platformKeys = []Key{
	choice("profile", profiles, every(Lean), func(c *Config) *string { return &c.Profile },
		"The table of values for all keys that are not set; each key still overrides its own."),
	text("name", nameSyntax,
		"2 to 20 lower-case letters, digits or hyphens, beginning with a letter and not ending with a hyphen",
		every("diecast"), func(c *Config) *string { return &c.Name },
		"Begins the stacks' names, as in diecast-Network; another name is another platform beside this one."),
	email("alarms.email", every(""), func(c *Config) *string { return &c.Alarms.Email },
		"Is told of every alarm once it has confirmed SNS's first message; empty tells nobody."),
}
