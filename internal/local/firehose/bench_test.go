package firehose

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// BenchmarkPump is the pump's own work: the stream, the processor and the bucket are in memory.
func BenchmarkPump(b *testing.B) {
	const records = 10_000
	payload := strings.Repeat("x", 400) // about an event of the course
	b.SetBytes(records * int64(len(payload)))
	for b.Loop() {
		source := newStream(2)
		for i := range records {
			source.put(i%2, payload)
		}
		c := config()
		c.Processor.Buffer, c.Buffer = Buffer{Bytes: 512 << 10}, Buffer{Bytes: 5 << 20, Interval: time.Minute}
		p, err := New(c, source, &invoker{processor: acceptAll}, &store{})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		for p.Statistics().Read < records {
			time.Sleep(100 * time.Microsecond)
		}
		stop()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		if delivered := p.Statistics().Delivered; delivered != records {
			b.Fatal(fmt.Errorf("%d records delivered, want %d", delivered, records))
		}
	}
	b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
}
