package provider

import (
	"context"
	"slices"
	"sync"
	"time"

	"diecast/internal/local/lambdahost"
)

// Invocations are those of one function by one event source.
type Invocations struct {
	// Function is its physical name; empty where the event source has none.
	Function string

	host   *lambdahost.Host
	mutex  sync.Mutex
	warm   []time.Duration
	cold   []time.Duration
	failed int
}

// Durations are those of the invocations so far: of processes that were warm, and from the start of
// new ones to their first answer. Failed is how many of all ended in an error.
func (i *Invocations) Durations() (warm, cold []time.Duration, failed int) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	return slices.Clone(i.warm), slices.Clone(i.cold), i.failed
}

// invoke runs the function and notes how long that took.
func (i *Invocations) invoke(ctx context.Context, payload []byte) (lambdahost.Result, error) {
	result, err := i.host.Invoke(ctx, i.Function, payload)
	if err != nil {
		return lambdahost.Result{}, err
	}
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if result.ColdStart > 0 {
		i.cold = append(i.cold, result.ColdStart)
	} else {
		i.warm = append(i.warm, result.Duration)
	}
	if result.FunctionError != "" {
		i.failed++
	}
	return result, nil
}
