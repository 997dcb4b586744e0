// Package loadtest keeps a page under load while a test does something to its servers.
package loadtest

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/load"
)

// begun is how many answers show that the load is there.
const begun = 50

// longest run, should the work not end.
const longest = 5 * time.Minute

// During asks for a page at a rate, in requests a second, before the work begins and until it has
// ended, and reports what was measured.
func During(t testing.TB, page string, rate int, work func()) load.Report {
	t.Helper()
	target, err := url.Parse(page) // which may have a password
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reports, under := make(chan load.Report, 1), make(chan struct{})
	var once sync.Once
	go func() {
		report, err := load.Run(ctx, load.Options{Targets: []*url.URL{target}, Rate: rate, Duration: longest,
			Progress: func(answered int) {
				if answered > begun {
					once.Do(func() { close(under) })
				}
			}})
		assert.NoError(t, err)
		reports <- report
	}()
	<-under
	work()
	cancel()
	return <-reports
}
