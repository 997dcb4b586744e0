package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"diecast/internal/embeddings"
	"diecast/internal/local/postgres"
	"diecast/internal/models"
	"diecast/internal/postgresclient"
	"diecast/internal/vectorsize"
)

const (
	// wanted is how many items a question is for.
	wanted = 10
	// questions are asked once to fill the caches, and once to measure.
	questions = 500
	// readers ask at the same time while models are switched.
	readers = 2
)

// efforts are the values of hnsw.ef_search that are tried.
var efforts = []int{20, 40, 80, 120, 160, 200, 300, 400, 800}

// model is one of the two. Behind the vectors of its items lie those that it is asked for.
type model struct {
	name, version string
	vectors       []float32
}

func (m model) vector(i int) embeddings.Vector {
	return m.vectors[i*models.Dimension : (i+1)*models.Dimension]
}

// measured is a store of one size, and what it holds.
type measured struct {
	*embeddings.Store
	cluster *postgres.Cluster
	pool    *pgxpool.Pool
	items   int
	models  []model
}

// classMiB is the least memory of a class that holds so many items.
func classMiB(items int) int {
	memory := 1024
	for memory < vectorsize.LeastDatabaseMiB(items, items) {
		memory *= 2
	}
	return memory
}

// buffersMiB is the share of it that RDS gives to PostgreSQL's own cache.
func buffersMiB(items int) int { return classMiB(items) / 4 }

func prepare(ctx context.Context, cluster *postgres.Cluster, items int) (*measured, error) {
	source := rand.New(rand.NewPCG(1, 2))
	m := &measured{cluster: cluster, items: items, models: []model{
		{"everywhere", "00000000000a", everywhere(source, items+questions)},
		{"heaps", "00000000000b", heaps(source, items+questions)},
	}}
	settings, err := postgresclient.Pool(cluster.DSN("postgres"))
	if err != nil {
		return nil, err
	}
	settings.ConnConfig.OnNotice = func(_ *pgconn.PgConn, notice *pgconn.Notice) {
		fmt.Fprintln(os.Stderr, notice.Severity, notice.Message)
	}
	if m.pool, err = pgxpool.NewWithConfig(ctx, settings); err != nil {
		return nil, err
	}
	m.Store = embeddings.NewStore(m.pool)
	_, err = m.Migrate(ctx)
	return m, err
}

func (m *measured) close() { m.pool.Close() }

// everywhere are unit vectors that point everywhere alike, one behind the other.
func everywhere(source *rand.Rand, count int) []float32 {
	all := make([]float32, count*models.Dimension)
	for vector := range slices.Chunk(all, models.Dimension) {
		for i := range vector {
			vector[i] = float32(source.NormFloat64())
		}
		unit(vector)
	}
	return all
}

// heaps are unit vectors around every hundredth as many.
func heaps(source *rand.Rand, count int) []float32 {
	const size, spread = 100, 0.05
	all, middles := make([]float32, count*models.Dimension), everywhere(source, (count+size-1)/size)
	for vector := range slices.Chunk(all, models.Dimension) {
		at := source.IntN(len(middles)/models.Dimension) * models.Dimension
		for i := range vector {
			vector[i] = middles[at+i] + spread*float32(source.NormFloat64())
		}
		unit(vector)
	}
	return all
}

func unit(vector []float32) {
	var square float64
	for _, number := range vector {
		square += float64(number) * float64(number)
	}
	for i := range vector {
		vector[i] /= float32(math.Sqrt(square))
	}
}

func code(i int) string { return fmt.Sprintf("P%07d", i) }

// rows are a model's file that is made while it is read. It notes how much memory lives meanwhile.
type rows struct {
	of   model
	rows int
	id   func(int) string
	next int
	left bytes.Reader
	most *uint64
}

func (r *rows) Read(into []byte) (int, error) {
	if r.left.Len() == 0 {
		switch {
		case r.next > r.rows:
			return 0, io.EOF
		case r.next == 0:
			r.left.Reset([]byte("id,embedding\n"))
		default:
			r.left.Reset([]byte(r.id(r.next-1) + ",\"" + r.of.vector(r.next-1).String() + "\"\n"))
		}
		if r.next%max(1, r.rows/10) == 0 {
			*r.most = max(*r.most, living())
		}
		r.next++
	}
	return r.left.Read(into)
}

// living is how many bytes are not garbage.
func living() uint64 {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return memory.HeapAlloc
}

// load loads both models.
func (m *measured) load(ctx context.Context) error {
	fmt.Println("| Load | Seconds | Live bytes beyond the program |")
	fmt.Println("| --- | --- | --- |")
	for _, one := range m.models {
		before, most := living(), uint64(0)
		begun := time.Now()
		_, err := m.Load(ctx, embeddings.Model{
			Version: one.version, Origin: embeddings.Trained, Towers: true, ItemCount: m.items, UserCount: m.items,
			Items: bufio.NewReader(&rows{of: one, rows: m.items, id: code, most: &most}),
			Users: bufio.NewReader(&rows{of: one, rows: m.items, id: strconv.Itoa, most: &most}),
		}, embeddings.Beside)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %.1f | %d |\n", one.name, time.Since(begun).Seconds(), int64(most)-int64(before))
	}
	return nil
}

// reader is a pool as inference has one, of so many connections, with an effort of the search; 0
// leaves the store's own.
func (m *measured) reader(ctx context.Context, connections int32, effort int) (*pgxpool.Pool, error) {
	if _, err := m.pool.Exec(ctx, "ALTER ROLE inference_reader PASSWORD 'reader'"); err != nil {
		return nil, err
	}
	settings, err := postgresclient.Pool(m.cluster.DSNFor("inference_reader", "reader", "postgres"))
	if err != nil {
		return nil, err
	}
	settings.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	settings.MaxConns = connections
	settings.AfterConnect = func(ctx context.Context, connection *pgx.Conn) error {
		if effort == 0 {
			return nil
		}
		_, err := connection.Exec(ctx, fmt.Sprintf("SET hnsw.ef_search = %d", effort), pgx.QueryExecModeExec)
		return err
	}
	return pgxpool.NewWithConfig(ctx, settings)
}

// search compares what the index finds, and how fast, with the truth.
func (m *measured) search(ctx context.Context) error {
	fmt.Println("\n| Vectors | `hnsw.ef_search` | recall@10 | p50 ms | p99 ms | ms of the processor |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, one := range m.models {
		if _, err := m.Activate(ctx, one.version); err != nil {
			return err
		}
		truth := m.exact(one)
		for _, effort := range efforts {
			if err := m.searchWith(ctx, one, effort, truth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *measured) searchWith(ctx context.Context, one model, effort int, truth [][]string) error {
	pool, err := m.reader(ctx, 1, effort)
	if err != nil {
		return err
	}
	defer pool.Close()
	store := embeddings.NewStore(pool)
	var server int
	if err := pool.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&server); err != nil {
		return err
	}
	var took []time.Duration
	found, before := 0, processor(server)
	for question := range 2 * questions {
		begun := time.Now()
		answer, err := store.Nearest(ctx, embeddings.Query{Version: one.version, ItemsPerUser: wanted,
			Users: []embeddings.User{{Vector: one.vector(m.items + question%questions)}}})
		if err != nil {
			return err
		}
		if question < questions {
			continue // the caches are filled
		}
		took = append(took, time.Since(begun))
		for _, item := range answer.Users[0] {
			if slices.Contains(truth[question%questions], item.ID) {
				found++
			}
		}
	}
	slices.Sort(took)
	fmt.Printf("| %s | %d | %.4f | %s | %s | %s |\n", one.name, effort, float64(found)/float64(wanted*questions),
		milliseconds(share(took, 0.5)), milliseconds(share(took, 0.99)),
		milliseconds((processor(server)-before)/(2*questions)))
	return nil
}

// processor is how long a process has had one, as Linux tells it: what other work leaves of the
// machine does not count. 0 where nothing tells it.
func processor(pid int) time.Duration {
	const ticks = 10 * time.Millisecond
	told, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, numbers, _ := strings.Cut(string(told), ") ")
	fields := strings.Fields(numbers)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * ticks
}

// exact are the items nearest to what a model is asked for.
func (m *measured) exact(one model) [][]string {
	type scored struct {
		at    int
		score float64
	}
	truth := make([][]string, questions)
	var group sync.WaitGroup
	for worker := range readers {
		group.Go(func() {
			for question := worker; question < questions; question += readers {
				var best []scored
				for at := range m.items {
					score := embeddings.InnerProduct(one.vector(m.items+question), one.vector(at))
					if len(best) == wanted && score <= best[wanted-1].score {
						continue
					}
					best = append(best, scored{at, score})
					slices.SortFunc(best, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
					best = best[:min(wanted, len(best))]
				}
				for _, item := range best {
					truth[question] = append(truth[question], code(item.at))
				}
			}
		})
	}
	group.Wait()
	return truth
}

// change switches between the two models while others ask.
func (m *measured) change(ctx context.Context) error {
	const (
		switches = 20
		// pause is between two switches; half of it counts as the switch's.
		pause = time.Second
	)
	pool, err := m.reader(ctx, readers, 0)
	if err != nil {
		return err
	}
	defer pool.Close()
	store := embeddings.NewStore(pool)
	type answer struct {
		at   time.Time
		took time.Duration
	}
	var answers [readers][]answer
	var failed atomic.Int64
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	for i := range readers {
		group.Go(func() {
			version, source := m.models[1].version, rand.New(rand.NewPCG(uint64(i), 3))
			for reading.Err() == nil {
				begun := time.Now()
				query := embeddings.Query{Version: version, ItemsPerUser: wanted,
					Users: []embeddings.User{{Vector: m.models[0].vector(source.IntN(m.items))}}}
				_, err := store.Nearest(context.WithoutCancel(reading), query)
				var moved *embeddings.MovedError
				if errors.As(err, &moved) {
					version = moved.Active
					query.Version = version
					_, err = store.Nearest(context.WithoutCancel(reading), query)
				}
				if err != nil {
					failed.Add(1)
				}
				answers[i] = append(answers[i], answer{begun, time.Since(begun)})
			}
		})
	}
	var moved []time.Time
	var took []time.Duration
	for range switches {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		begun := time.Now()
		if _, err := m.Rollback(ctx); err != nil {
			return err
		}
		moved, took = append(moved, begun), append(took, time.Since(begun))
	}
	stop()
	group.Wait()
	var calm, during []time.Duration
	for _, one := range slices.Concat(answers[:]...) {
		near := slices.ContainsFunc(moved, func(at time.Time) bool {
			since := one.at.Add(one.took).Sub(at)
			return since >= 0 && one.at.Sub(at) < pause/2
		})
		if near {
			during = append(during, one.took)
		} else {
			calm = append(calm, one.took)
		}
	}
	slices.Sort(took)
	slices.Sort(calm)
	slices.Sort(during)
	fmt.Printf("\n%d switches, %d readers, %d answers, %d failed\n\n", switches, readers, len(calm)+len(during),
		failed.Load())
	fmt.Println("| | p50 ms | p99 ms | most ms |")
	fmt.Println("| --- | --- | --- | --- |")
	for _, line := range []struct {
		name string
		took []time.Duration
	}{{"switch", took}, {"readers, half a second from a switch on", during}, {"readers, else", calm}} {
		fmt.Printf("| %s | %s | %s | %s |\n", line.name, milliseconds(share(line.took, 0.5)),
			milliseconds(share(line.took, 0.99)), milliseconds(share(line.took, 1)))
	}
	return nil
}

// share is the duration below which so large a share of sorted ones lies; 0 of none.
func share(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(part*float64(len(sorted))))]
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
