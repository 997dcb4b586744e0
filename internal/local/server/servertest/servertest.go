// Package servertest is what the tests of everything that starts processes share: they are left out
// of the fast tests, one server serves a whole test package, and every engine keeps to one
// contract.
package servertest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startTimeout bounds a start and a stop.
const startTimeout = time.Minute

// Needed skips a test under `go test -short`: it needs what takes a second or more to start or to
// build, such as "PostgreSQL". Every test and every helper that starts such a thing says so here.
func Needed(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("-short leaves out what needs %s", what)
	}
}

// Stopper is a server that was started.
type Stopper interface {
	comparable
	Stop(context.Context) error
}

// Shared is one server for all tests of a package, started when the first test asks for it.
type Shared[S Stopper] struct {
	// Name is what Needed tells.
	Name string
	// Start starts it.
	Start func(context.Context) (S, error)

	mutex   sync.Mutex
	started S
}

// Get returns the package's server.
func (s *Shared[S]) Get(t testing.TB) S {
	t.Helper()
	Needed(t, s.Name)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var none S
	if s.started == none {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		started, err := s.Start(ctx)
		require.NoError(t, err)
		s.started = started
	}
	return s.started
}

// Run is the body of a TestMain: it runs the tests and stops the server that they used. Exit with
// its result.
func (s *Shared[S]) Run(m *testing.M) int {
	code := m.Run()
	var none S
	if s.started == none {
		return code
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.started.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
