package source_test

import (
	"context"
	"io"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/source"
)

// peak watches the process's memory until it is stopped.
func peak() (stop func() (megabytes float64)) {
	runtime.GC()
	done, most := make(chan struct{}), uint64(0)
	var ended sync.WaitGroup
	ended.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for ticker := time.NewTicker(20 * time.Millisecond); ; {
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64()-sample[1].Value.Uint64())
			select {
			case <-done:
				ticker.Stop()
				return
			case <-ticker.C:
			}
		}
	})
	return func() float64 {
		close(done)
		ended.Wait()
		return float64(most) / 1e6
	}
}

// Rows per second into a server beside the loader: compare peak-MB over the scales.
func BenchmarkLoad(b *testing.B) {
	for name, scale := range map[string]float64{"scale=10": 10, "scale=100": 100} {
		shop, err := classicmodels.New(options(func(o *classicmodels.Options) { o.Scale = scale }))
		require.NoError(b, err)
		streamed := dumpOf("")
		streamed.Dump = func(ctx context.Context) (io.ReadCloser, error) {
			reader, writer := io.Pipe()
			go func() {
				_, err := classicmodels.WriteSQL(
					ctx, shop, func(string) (io.WriteCloser, error) { return closing{writer}, nil },
				)
				writer.CloseWithError(err)
			}()
			return reader, nil
		}
		for kind, wanted := range map[string]source.Contents{
			"sample": sample(func(o *classicmodels.Options) { o.Scale = scale }), "dump": streamed,
		} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				var rows int64
				var megabytes float64
				for b.Loop() {
					b.StopTimer()
					pool := empty(b)
					apply(b, pool, source.Contents{Kind: source.Empty})
					stop := peak()
					b.StartTimer()
					rows += apply(b, pool, wanted).Rows
					megabytes = max(megabytes, stop())
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(megabytes, "peak-MB")
			})
		}
	}
}

// Rows per second that a year brings to a sample, with what it takes to make the days before again.
func BenchmarkAdvance(b *testing.B) {
	const days = 365
	var rows int
	for b.Loop() {
		b.StopTimer()
		pool := empty(b)
		apply(b, pool, sample(func(o *classicmodels.Options) { o.Scale = 10 }))
		b.StartTimer()
		advanced, err := source.New(pool).Advance(b.Context(), days)
		require.NoError(b, err)
		for _, added := range advanced.Added {
			rows += added
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
