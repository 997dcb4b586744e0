package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

// Who interrupts a command hears of it, and of all else that went wrong.
func TestAnInterruptionHidesNoOtherReason(t *testing.T) {
	const interrupted = "diecast fail: interrupted: nothing was kept of what was not finished\n"
	cancelled := fmt.Errorf("put a record: %w", context.Canceled)
	full := errors.New("the disk is full")
	for name, c := range map[string]struct {
		failure error
		told    string
	}{
		"alone":          {cancelled, interrupted},
		"twice":          {errors.Join(cancelled, context.Canceled), interrupted},
		"another beside": {errors.Join(cancelled, full), interrupted + "diecast fail: the disk is full\n"},
		"deeper": {errors.Join(errors.Join(full, cancelled), errors.Join(cancelled)),
			interrupted + "diecast fail: the disk is full\n"},
		"both in words of their own": {fmt.Errorf("%w, while writing: %w", context.Canceled, full),
			interrupted + "diecast fail: context canceled, while writing: the disk is full\n"},
		"joined within words": {fmt.Errorf("stop: %w", errors.Join(cancelled, full)),
			interrupted + "diecast fail: stop: put a record: context canceled\ndiecast fail: the disk is full\n"},
		"no interruption": {full, "diecast fail: the disk is full\n"},
	} {
		t.Run(name, func(t *testing.T) {
			before := commands
			t.Cleanup(func() { commands = before })
			commands = []func(*terminal) *cobra.Command{func(*terminal) *cobra.Command {
				return &cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return c.failure }}
			}}
			var out, told bytes.Buffer
			assert.Equal(t, 1, run(t.Context(), []string{"fail"}, &out, &told))
			assert.Equal(t, c.told, told.String())
		})
	}
}
