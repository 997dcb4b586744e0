package lambdahost

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"diecast/internal/local/installed"
	"diecast/internal/local/process"
)

// bootstrap is the file that Lambda's OS-only runtimes start, and the handler's name with them.
const bootstrap = "bootstrap"

// builds keeps one result for each source folder.
type builds struct {
	mu      sync.Mutex
	sources map[string]*build
}

type build struct {
	mu   sync.Mutex // held while compiling
	done bool
}

// Build compiles the Go command in a folder for this machine, the way the deployed function is
// compiled, and returns the executable. A source that was built by this host is not built again.
// The error carries the compiler's own words.
func (h *Host) Build(ctx context.Context, source string) (executable string, err error) {
	source, err = filepath.Abs(source)
	if err != nil {
		return "", err
	}
	h.builds.mu.Lock()
	if h.builds.sources == nil {
		h.builds.sources = map[string]*build{}
	}
	b := h.builds.sources[source]
	if b == nil {
		b = &build{}
		h.builds.sources[source] = b
	}
	h.builds.mu.Unlock()

	key := sha256.Sum256([]byte(source)) // two sources may have the same name
	executable = filepath.Join(h.options.Dir, "build", filepath.Base(source)+"-"+hex.EncodeToString(key[:4]), bootstrap)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done {
		return executable, nil
	}
	if err := compile(ctx, source, executable); err != nil {
		return "", fmt.Errorf("compile %s: %w", source, err)
	}
	b.done = true
	return executable, nil
}

// Installed is the error, an installed.ErrNotInstalled, of a machine without the Go compiler, which
// Build needs; nil where it is there.
func Installed(context.Context) error {
	_, err := findCompiler()
	return err
}

func findCompiler() (string, error) {
	compiler, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("the Go compiler, which builds the functions, is %w: %w", installed.ErrNotInstalled, err)
	}
	return compiler, nil
}

func compile(ctx context.Context, source, executable string) error {
	compiler, err := findCompiler()
	if err != nil {
		return err
	}
	var output bytes.Buffer
	err = process.Run(ctx, process.Command{
		Path: compiler,
		// Leaves out the net/rpc mode that only the retired go1.x runtime used.
		Arguments: []string{"build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", "lambda.norpc", "-o",
			executable, "."},
		Dir: source, Output: &output,
		Environment: append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=", "GOARCH=", "PWD="+source),
	})
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(output.String()))
	}
	return nil
}
