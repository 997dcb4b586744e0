package main

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"diecast/internal/activity"
	"diecast/internal/aggregation"
)

// What the list says of an event is what the contract says.
func TestHostileEventsAreWhatTheyAreCalled(t *testing.T) {
	seen := map[string]bool{}
	for _, hostile := range hostileEvents() {
		assert.False(t, seen[hostile.name], "%s is there twice", hostile.name)
		seen[hostile.name] = true
		data := hostile.data
		if split, err := aggregation.Split(data); err == nil {
			data = split[0].Data
		}
		_, err := activity.Decode(data)
		assert.Equal(t, hostile.valid, err == nil, "%s: %v", hostile.name, err)
	}
	assert.Greater(t, len(seen), 100)
}
