package moto

import (
	"testing"
	"time"
)

// SetSilentFor has connections of servers that start in this test be silent for so long.
func SetSilentFor(t *testing.T, limit time.Duration) {
	before := silentFor
	t.Cleanup(func() { silentFor = before })
	silentFor = limit
}
