package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// proven is a fault that tests make happen within one process, where what is looked at can be
// reached: those of the packages in the folders whose names the pattern matches.
func proven(name, does, must, pattern string, folders ...string) fault {
	return fault{
		name: name, does: does, must: must, within: 4 * time.Minute,
		try: func(ctx context.Context, b *bench) (string, error) {
			arguments := []string{"test", "-count=1", "-v", "-run", pattern}
			for _, folder := range folders {
				arguments = append(arguments, "./"+folder)
			}
			command := exec.CommandContext(ctx, "go", arguments...)
			command.Dir = b.source
			output, err := command.CombinedOutput()
			return counted(string(output), err, strings.Join(folders, ", "), pattern)
		},
	}
}

// counted reads what go test -v says: how many tests held, and what they say of themselves in lines
// with "account:".
func counted(output string, failure error, folders, pattern string) (string, error) {
	passed, cases := 0, 0
	var account, failed []string
	for line := range strings.Lines(output) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "--- PASS: "):
			passed++
		case strings.HasPrefix(line, "    --- PASS: "):
			cases++
		case strings.HasPrefix(trimmed, "--- FAIL: "):
			failed = append(failed, strings.TrimPrefix(trimmed, "--- FAIL: "))
		}
		if _, told, ok := strings.Cut(trimmed, "account: "); ok {
			account = append(account, told)
		}
	}
	text := fmt.Sprintf("%d tests, %d cases in %s", passed, cases, folders)
	if len(account) > 0 {
		text += ": " + strings.Join(account, "; ")
	}
	switch {
	case len(failed) > 0:
		return text, fmt.Errorf("%s: %s", folders, strings.Join(failed, ", "))
	case failure != nil:
		const most = 600
		return text, fmt.Errorf("go test of %s: %w: %s", folders, failure, output[max(0, len(output)-most):])
	case passed == 0:
		return text, fmt.Errorf("%s has no test like %s", folders, pattern)
	}
	return text, nil
}
