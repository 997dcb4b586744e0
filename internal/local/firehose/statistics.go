package firehose

import (
	"maps"
	"math"
	"sync"
	"time"
)

// Statistics are the counts of a pump so far, of records where nothing else is said; those within
// an aggregate count one by one.
type Statistics struct {
	Read, ReadBytes int
	// Taken are the stream's records: of each aggregate one.
	Taken int
	// Invocations of the processor, Retries among them.
	Invocations, Retries int
	// UnknownRecordIDs are answers for records that were not asked for.
	UnknownRecordIDs int
	// Delivered, Dropped by the processor and Failed, which are in the error output: the three
	// places where a record ends.
	Delivered, Dropped, Failed int
	// Undelivered are those of objects that could not be written within DeliverFor: they are lost.
	Undelivered int
	// Waiting is since when the bucket cannot be written to, WaitingFor why; zero where it can.
	Waiting    time.Time
	WaitingFor string
	// FailedByCode are the failed ones by their error code.
	FailedByCode map[string]int
	// DeliveredBytes are those of the delivered objects.
	DeliveredBytes int
	// Objects and ErrorObjects were written; DeliveryRetries are attempts beyond the first of each.
	Objects, ErrorObjects, DeliveryRetries int
	// SourceRetries are calls of the stream that failed and were made again.
	SourceRetries int
	// Latency by stage, of the records that were delivered.
	Latency Latencies
}

// Pending is how many records were read and have not come to their place.
func (s Statistics) Pending() int { return s.Read - s.Delivered - s.Dropped - s.Failed - s.Undelivered }

// Latencies of the stages that a record passes, in their order; Total is from arrival to delivery.
type Latencies struct {
	// Source is from arrival in the stream to the read, Buffer to the first invocation, Process to
	// the processor's answer, Delivery to the written object.
	Source, Buffer, Process, Delivery, Total Latency
}

// Latency is a distribution. Quantiles are at most 9.1 % above the true ones, and never above Max.
type Latency struct {
	Count               int
	Mean, P50, P99, Max time.Duration
}

// Statistics are safe to ask for at any time.
func (p *Pump) Statistics() Statistics { return p.statistics.snapshot() }

type recorder struct {
	mutex                                    sync.Mutex
	statistics                               Statistics
	source, buffer, process, delivery, total histogram
}

func (r *recorder) count(change func(*Statistics)) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	change(&r.statistics)
}

func (r *recorder) read(records []record) {
	r.count(func(s *Statistics) {
		s.Read += len(records)
		for _, record := range records {
			s.ReadBytes += len(record.data)
		}
	})
}

// written counts an object and the records in it.
func (r *recorder) written(o *object, now time.Time) {
	r.count(func(s *Statistics) {
		s.Waiting, s.WaitingFor = time.Time{}, ""
		if o.outcomes[0].result == failed {
			s.ErrorObjects++
			return
		}
		s.Objects++
		s.DeliveredBytes += o.body.Len()
	})
	for _, outcome := range o.outcomes {
		r.settled(outcome, now)
	}
}

// waits counts an attempt to write an object that failed and will be repeated.
func (r *recorder) waits(since time.Time, why error) {
	r.count(func(s *Statistics) {
		s.DeliveryRetries++
		s.Waiting, s.WaitingFor = since, why.Error()
	})
}

// undelivered counts the records of an object that is given up.
func (r *recorder) undelivered(o *object) {
	r.count(func(s *Statistics) {
		s.Undelivered += len(o.outcomes)
		s.Waiting, s.WaitingFor = time.Time{}, ""
	})
}

// settled counts a record that came to its place.
func (r *recorder) settled(o outcome, now time.Time) {
	r.count(func(s *Statistics) {
		switch o.result {
		case dropped:
			s.Dropped++
		case failed:
			s.Failed++
			if s.FailedByCode == nil {
				s.FailedByCode = map[string]int{}
			}
			s.FailedByCode[o.code]++
		case delivered:
			s.Delivered++
			r.source.add(o.record.read.Sub(o.arrival))
			r.buffer.add(o.started.Sub(o.record.read))
			r.process.add(o.ended.Sub(o.started))
			r.delivery.add(now.Sub(o.ended))
			r.total.add(now.Sub(o.arrival))
		}
	})
}

func (r *recorder) snapshot() Statistics {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s := r.statistics
	s.FailedByCode = maps.Clone(s.FailedByCode)
	s.Latency = Latencies{
		Source: r.source.latency(), Buffer: r.buffer.latency(), Process: r.process.latency(),
		Delivery: r.delivery.latency(), Total: r.total.latency(),
	}
	return s
}

// histogram counts durations in buckets that grow by an eighth of a doubling, from shortest to
// about two hours.
type histogram struct {
	buckets  [buckets]int
	count    int
	sum, max time.Duration
}

const (
	shortest  = 10 * time.Microsecond
	perDouble = 8
	buckets   = 240
)

func (h *histogram) add(d time.Duration) {
	d = max(d, 0) // the clocks of a stream and of this machine may differ
	bucket := 0
	if d > shortest {
		bucket = min(buckets-1, int(math.Ceil(perDouble*math.Log2(float64(d)/float64(shortest)))))
	}
	h.buckets[bucket]++
	h.count++
	h.sum += d
	h.max = max(h.max, d)
}

func (h *histogram) latency() Latency {
	if h.count == 0 {
		return Latency{}
	}
	return Latency{Count: h.count, Mean: h.sum / time.Duration(h.count), P50: h.quantile(0.5), P99: h.quantile(0.99),
		Max: h.max}
}

// quantile is the upper end of the bucket that holds it.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := int(math.Ceil(q*float64(h.count))), 0
	for bucket, count := range h.buckets {
		if seen += count; seen >= rank {
			upper := float64(shortest) * math.Exp2(float64(bucket)/perDouble)
			return min(h.max, time.Duration(math.Ceil(upper)))
		}
	}
	return h.max
}
