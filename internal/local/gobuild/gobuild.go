// Package gobuild compiles the platform's own Go commands for this machine, the way that the
// deployed ones are compiled. It knows nothing of who runs them.
package gobuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
	"diecast/internal/surroundings"
)

// Installed is the error, an installed.ErrNotInstalled, of a machine without the Go compiler; nil
// where it is there.
func Installed(context.Context) error {
	_, err := find()
	return err
}

func find() (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("the Go compiler, which builds the platform's programs, is %w: %w",
			installed.ErrNotInstalled, err)
	}
	return compiler, nil
}

// Compile builds the command in a folder as this file. The error carries the compiler's own words.
func Compile(ctx context.Context, source, executable string, tags ...string) error {
	compiler, err := find()
	if err != nil {
		return err
	}
	if executable, err = filepath.Abs(executable); err != nil {
		return err
	}
	temporary := filepath.Dir(executable)
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return err
	}
	// The functions run on this machine alone: any release of Go will do that go.mod admits.
	environment := surroundings.Compiler(temporary, map[string]string{"GOTOOLCHAIN": "local", "PWD": source})
	var output bytes.Buffer
	err = process.Run(ctx, process.Command{
		Path: compiler,
		Arguments: []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", strings.Join(tags, ","),
			"-o", executable, "."},
		Dir: source, Output: &output, Environment: environment,
	})
	if err != nil {
		return fmt.Errorf("compile %s: %w\n%s", source, err, strings.TrimSpace(output.String()))
	}
	return nil
}
