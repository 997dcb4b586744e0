// Package config reads the platform's configuration: flat dotted keys from
// cdk.json or the command line's -c, over a profile's table of values. It says
// what is wrong with all of them at once. Each stack has one file, with its
// struct, its keys and the rules between them. The package must not know CDK.
package config

import "slices"

// Config is a complete, checked configuration. Numbers are in the unit that
// their name ends in. Keys lists what each field means and may be.
type Config struct {
	// Profile is the table that gave the values nobody set.
	Profile string
	// Name begins every stack's name.
	Name      string
	Alarms    Alarms
	Data      Data
	Network   Network
	Databases Databases
	Vectors   Vectors
	Source    Source
	ETL       ETL
	Streaming Streaming
	Inference Inference
	Web       Web
	Functions Functions
	Capacity  Capacity
}

// Profiles, in the order of the documentation.
const (
	Lean     = "lean"
	Standard = "standard"
	Prod     = "prod"
	Course   = "course"
)

var profiles = []string{Lean, Standard, Prod, Course}

// Profiles lists the profiles, in the order of the documentation.
func Profiles() []string { return slices.Clone(profiles) }

// keys is every key there is, in the order of the documentation.
var keys = slices.Concat(platformKeys, dataKeys, networkKeys, databasesKeys, vectorsKeys, batchKeys, streamingKeys,
	webKeys, functionsKeys, capacityKeys)

// Keys lists every key, in the order of the documentation.
func Keys() []Key { return slices.Clone(keys) }

// rules are those between keys; a key's own stand with it.
var rules = slices.Concat(capacityRules, networkRules, dataRules, batchRules, streamingRules, webRules)

// rule is a rule between keys, for values that are right by themselves.
type rule struct {
	// keys are what it reads; it is left out where one of them is wrong.
	keys  []string
	check func(Config) []Problem
}
