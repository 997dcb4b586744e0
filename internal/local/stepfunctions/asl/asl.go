// Package asl reads and runs state machines in the Amazon States Language, as far as the platform's
// own need it: an allow-list of states, fields, paths and intrinsic functions. Parse names
// everything else, and all of it at once; nothing that it lets through is passed over when the
// machine runs.
//
// The package knows neither an API nor a service: what a Task calls is a function that the caller
// gives it, and what happens is told to a function, too.
//
// Contracts: "Amazon States Language" (states-language.net, version 1.0), with JSONPath as its
// query language; "AWS Step Functions Developer Guide", the chapters "Handling errors" and
// "Intrinsic functions".
package asl

import (
	"fmt"
	"slices"
	"strings"
)

// Machine is a state machine that Parse let through.
type Machine struct {
	startAt string
	states  map[string]*state
	// timeout in seconds; 0 is none.
	timeout int
}

// Problems are everything in a definition that the interpreter refuses.
type Problems []string

func (p Problems) Error() string { return strings.Join(p, "\n") }

// Integrations are the resources that a Task may call, by what follows arn:<partition>:states:::,
// each with the parameters that it takes.
type Integrations map[string][]string

// Names of errors that the language itself knows.
const (
	// All matches every error but those that nothing catches.
	All = "States.ALL"
	// TaskFailed is a Task's own failure; as a pattern it matches every error but Timeout.
	TaskFailed           = "States.TaskFailed"
	Timeout              = "States.Timeout"
	HeartbeatTimeout     = "States.HeartbeatTimeout"
	ResultPathFailure    = "States.ResultPathMatchFailure"
	ParameterPathFailure = "States.ParameterPathFailure"
	IntrinsicFailure     = "States.IntrinsicFailure"
	NoChoiceMatched      = "States.NoChoiceMatched"
	// Runtime fails an execution, whatever it catches.
	Runtime = "States.Runtime"
	// DataLimitExceeded is caught by its own name only.
	DataLimitExceeded = "States.DataLimitExceeded"
)

// MaxData is how much JSON a state may be given or hand on, in bytes (AWS Step Functions Developer
// Guide, "Step Functions service quotas").
const MaxData = 256 << 10

// Failure is an error of the language: what Retry and Catch are asked about.
type Failure struct{ Name, Cause string }

func (f *Failure) Error() string { return f.Name + ": " + f.Cause }

func failuref(name, format string, arguments ...any) *Failure {
	return &Failure{name, fmt.Sprintf(format, arguments...)}
}

// matches says whether one of the names that a Retry or Catch lists is that of the failure.
func (f *Failure) matches(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		switch {
		case f.Name == Runtime:
			return false
		case name == f.Name:
			return true
		case f.Name == DataLimitExceeded:
			return false
		case name == TaskFailed:
			return f.Name != Timeout && f.Name != HeartbeatTimeout
		}
		return name == All
	})
}

// state is one of a machine's. Fields that its type does not have are empty.
type state struct {
	name, kind string
	next       string // empty: the execution ends here
	// input and output filter; nil discards all, which the language writes as null.
	input, output *path
	// parameters and selector are templates; nil: none.
	parameters, selector any
	hasParameters        bool
	hasSelector          bool
	// result is where a result goes in the state's input; nil drops it.
	result *path

	resource string
	// timeout and heartbeat of a Task in seconds; 0 is none.
	timeout, heartbeat int
	retry              []retrier
	catch              []catcher

	// fixed is a Pass's Result.
	fixed    any
	hasFixed bool

	choices   []choice
	otherwise string

	// wait of a Wait in seconds, or where it stands.
	wait     int
	waitPath *path

	// of a Fail: texts, or where they stand.
	failure, cause         string
	failurePath, causePath *path
}

type retrier struct {
	errors   []string
	interval float64 // seconds
	attempts int
	rate     float64
	most     float64 // seconds; 0: no bound
	jitter   bool
}

type catcher struct {
	errors []string
	result *path
	next   string
}

type choice struct {
	rule condition
	next string
}

// condition of a Choice.
type condition interface {
	holds(data any, about *contextObject) (bool, *Failure)
}
