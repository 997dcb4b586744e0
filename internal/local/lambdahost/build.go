package lambdahost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"sync"

	"diecast/internal/local/gobuild"
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
	// The tag leaves out the net/rpc mode that only the retired go1.x runtime used.
	if err := gobuild.Compile(ctx, source, executable, "lambda.norpc"); err != nil {
		return "", err
	}
	b.done = true
	return executable, nil
}
