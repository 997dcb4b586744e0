package api

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation/reading"
)

// BenchmarkAnswer is what an answer costs without network and stores.
func BenchmarkAnswer(b *testing.B) {
	f := newFixture(b, nil)
	for name, c := range map[string]struct {
		below   string
		headers []string
	}{
		"session": {"recommendations", []string{sessionHeader, unguessed}},
		"popular": {"popular", nil}, "similar": {"products/P1/similar", nil}, "totals": {"sales/totals", nil},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				request := httptest.NewRequest(http.MethodGet, Prefix+c.below, nil)
				for i := 0; i < len(c.headers); i += 2 {
					request.Header.Set(c.headers[i], c.headers[i+1])
				}
				recorder := httptest.NewRecorder()
				f.ServeHTTP(recorder, request)
				if recorder.Code != http.StatusOK {
					b.Fatal(recorder.Code, recorder.Body)
				}
			}
		})
	}
}

// processor time of this process, which is server and clients; dynalite is another one.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkRecommendationsFromDynalite asks for sessions and customers over HTTP, with so many
// requests under way, and dynalite in DynamoDB's stead.
func BenchmarkRecommendationsFromDynalite(b *testing.B) {
	client, sessions := onDynalite(b, 200)
	f := newFixture(b, func(o *Options) {
		o.Recommendations = &reading.Reader{Table: client, Name: tableName, Popular: popular}
		o.SessionRate, o.TokenRate = 1<<30, 1<<30
	})
	server := httptest.NewServer(f)
	b.Cleanup(server.Close)
	for _, kind := range []string{sessionHeader, customerHeader} {
		for _, underWay := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d under way", kind, underWay), func(b *testing.B) {
				transport := &http.Transport{MaxIdleConnsPerHost: underWay}
				defer transport.CloseIdleConnections()
				var mutex sync.Mutex
				var times []time.Duration
				begin, used := time.Now(), processorTime(b)
				numbers := make(chan int)
				var all sync.WaitGroup
				for range underWay {
					all.Go(func() {
						for number := range numbers {
							taken, err := once(transport, server.URL, kind, sessions, number)
							mutex.Lock()
							times = append(times, taken)
							if err != nil {
								b.Error(err)
							}
							mutex.Unlock()
						}
					})
				}
				for number := range b.N {
					numbers <- number
				}
				close(numbers)
				all.Wait()
				slices.Sort(times)
				at := func(share float64) float64 {
					return float64(times[int(share*float64(len(times)-1))].Microseconds()) / 1000
				}
				b.ReportMetric(at(0.5), "p50-ms")
				b.ReportMetric(at(0.99), "p99-ms")
				b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "requests/s")
				b.ReportMetric(float64(b.N)/(processorTime(b)-used).Seconds(), "requests/core-s")
			})
		}
	}
}

func once(transport *http.Transport, address, kind string, sessions []string, number int) (time.Duration, error) {
	request, err := http.NewRequest(http.MethodGet, address+Prefix+"recommendations", nil)
	if err != nil {
		return 0, err
	}
	number %= len(sessions)
	ids := map[string]string{sessionHeader: sessions[number], customerHeader: fmt.Sprint(number)}
	request.Header.Set(kind, ids[kind])
	begin := time.Now()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	taken := time.Since(begin)
	if answer.StatusCode != http.StatusOK {
		return taken, fmt.Errorf("status %d", answer.StatusCode)
	}
	return taken, err
}
