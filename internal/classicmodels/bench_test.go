package classicmodels_test

import (
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
)

// heapWatch throws away what is written and remembers the most live heap that it saw meanwhile.
type heapWatch struct {
	sample []metrics.Sample
	most   uint64
}

func newHeapWatch() *heapWatch {
	runtime.GC()
	return &heapWatch{sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}}
}

func (h *heapWatch) create(string) (io.WriteCloser, error) { return closing{h}, nil }

func (h *heapWatch) Write(b []byte) (int, error) {
	metrics.Read(h.sample)
	h.most = max(h.most, h.sample[0].Value.Uint64())
	return len(b), nil
}

// The heap of 1,000 times the sample database is about that of one: compare peak-heap-MB over the
// scales.
func BenchmarkWrite(b *testing.B) {
	for _, scale := range []float64{1, 1000} {
		made := shop(b, func(o *classicmodels.Options) { o.Scale = scale })
		for format, write := range map[string]func(classicmodels.Create) ([]classicmodels.File, error){
			"csv": func(create classicmodels.Create) ([]classicmodels.File, error) {
				return classicmodels.WriteCSV(b.Context(), made, create)
			},
			"sql": func(create classicmodels.Create) ([]classicmodels.File, error) {
				return classicmodels.WriteSQL(b.Context(), made, create)
			},
			"training-set": func(create classicmodels.Create) ([]classicmodels.File, error) {
				return classicmodels.WriteTraining(b.Context(), made, create)
			},
		} {
			b.Run(fmt.Sprintf("scale=%v/%s", scale, format), func(b *testing.B) {
				watch := newHeapWatch()
				var rows, bytes int64
				for b.Loop() {
					files, err := write(watch.create)
					require.NoError(b, err)
					for _, file := range files {
						rows += file.Rows
						bytes += file.Bytes
					}
				}
				b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
				b.ReportMetric(float64(watch.most)/1e6, "peak-heap-MB")
				b.SetBytes(bytes / int64(b.N))
			})
		}
	}
}

func BenchmarkEvents(b *testing.B) {
	for _, scale := range []float64{1, 1000} {
		b.Run(fmt.Sprintf("scale=%v", scale), func(b *testing.B) {
			events, err := shop(b,
				func(o *classicmodels.Options) { o.Scale = scale }).
				Events(classicmodels.EventOptions{BrokenShare: 0.01})
			require.NoError(b, err)
			made := 0
			for range events {
				if made++; made == b.N {
					break
				}
			}
			b.ReportMetric(float64(made)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
