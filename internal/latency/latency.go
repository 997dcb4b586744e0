// Package latency is the budget of the time from a customer's click until the shop can read what is
// recommended for it: what each stage on the way may take. It measures nothing.
package latency

import "time"

// Stage of the way.
type Stage struct {
	Name string
	// What says what is done in it, and where its limit comes from.
	What string
	// Standard is its limit on AWS where Lambda asks the stream, FanOut where the stream pushes,
	// Laptop on one machine with all engines.
	Standard, FanOut, Laptop time.Duration
}

// Promised for 99 of 100 events, once functions are warm, at capacity.eventsPerSecond.
const (
	OnAWS    = 2 * time.Second
	OnLaptop = time.Second
)

// The names of the stages.
const (
	Put       = "put"
	Wait      = "wait"
	Inference = "inference"
	Write     = "write"
)

// InferenceWithin is how long a rung of inference may take before the next one answers; the last
// one takes no time to speak of.
const InferenceWithin = 400 * time.Millisecond

const millisecond = time.Millisecond

// Stages in the order in which an event comes through them.
var Stages = []Stage{
	{Put, "`PutRecords` answers: the event is in three zones", 100 * millisecond, 100 * millisecond,
		100 * millisecond},
	{Wait, "until a batch takes it: for Lambda's next question to the shard (1 s on AWS, 0.2 s on the laptop; pushed " +
		"within 0.1 s by enhanced fan-out), or for the end of the batch before, whichever is longer",
		1000 * millisecond, 500 * millisecond, 400 * millisecond},
	{Inference, "one invocation and one SQL statement for the batch; after 400 ms the next rung answers, and for the " +
		"second that follows a failure no batch waits for the store at all", InferenceWithin, InferenceWithin,
		InferenceWithin},
	{Write, "conditional puts of the batch, and what the function itself takes", 200 * millisecond,
		200 * millisecond, 100 * millisecond},
}

// Sum of the stages, each at its limit.
func Sum(of func(Stage) time.Duration) (sum time.Duration) {
	for _, stage := range Stages {
		sum += of(stage)
	}
	return sum
}
