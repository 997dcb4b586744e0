package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// proof is what tests of packages prove: those in the folders whose names the pattern matches,
// given these arguments, in which SEED stands for the seed.
type proof struct {
	pattern   string
	arguments []string
	folders   []string
}

// proven is a fault that tests make happen within one process, where what is looked at can be
// reached.
func proven(name, does, must string, by proof) fault {
	return fault{
		name: name, does: does, must: must, within: 8 * time.Minute, lane: apart,
		try: func(ctx context.Context, b *bench) (string, error) {
			arguments := []string{"test", "-vet=off", "-count=1", "-v", "-run", by.pattern}
			for _, folder := range by.folders {
				arguments = append(arguments, "./"+folder)
			}
			if len(by.arguments) > 0 {
				arguments = append(arguments, "-args")
			}
			for _, argument := range by.arguments {
				arguments = append(arguments, strings.ReplaceAll(argument, "SEED", fmt.Sprint(b.seed)))
			}
			// The runs in the other lanes, which are held to seconds, go first.
			command := exec.CommandContext(ctx, "nice", append([]string{"-n", "10", "go"}, arguments...)...)
			command.Dir = b.source
			output, err := command.CombinedOutput()
			return counted(string(output), err, strings.Join(by.folders, ", "), by.pattern)
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
	text := fmt.Sprintf("%d tests in %s", passed, folders)
	if cases > 0 {
		text = fmt.Sprintf("%d cases of %s", cases, text)
	}
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
