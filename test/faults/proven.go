package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// proven is a fault that tests of a package make happen within one process, where what is looked at
// can be reached. The tests' names begin with one of these.
func proven(name, does, must, folder string, tests ...string) fault {
	return fault{
		name: name, does: does, must: must, within: 4 * time.Minute,
		try: func(ctx context.Context, b *bench) (string, error) {
			pattern := "^(" + strings.Join(tests, "|") + ")"
			command := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", pattern, "./"+folder)
			command.Dir = b.source
			output, err := command.CombinedOutput()
			return counted(string(output), err, folder, pattern)
		},
	}
}

// counted reads what go test -v says: how many tests held, and what they say of themselves in lines
// with "account:".
func counted(output string, failure error, folder, pattern string) (string, error) {
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
	text := fmt.Sprintf("%d tests, %d cases in %s", passed, cases, folder)
	if len(account) > 0 {
		text += ": " + strings.Join(account, "; ")
	}
	switch {
	case len(failed) > 0:
		return text, fmt.Errorf("%s: %s", folder, strings.Join(failed, ", "))
	case failure != nil:
		const most = 600
		return text, fmt.Errorf("go test ./%s: %w: %s", folder, failure, output[max(0, len(output)-most):])
	case passed == 0:
		return text, errors.Join(fmt.Errorf("%s has no test like %s", folder, pattern))
	}
	return text, nil
}
