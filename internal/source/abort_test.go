package source_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	scripts "diecast/sql"
)

var errKilled = errors.New("killed")

// mortal opens a pool whose connections end without a word after a number of messages to the
// server, as they do when the process is killed: the server sees nothing but the end.
func mortal(t testing.TB, messages int64) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(mariadbtest.Server(t).DSN(""))
	require.NoError(t, err)
	left := &atomic.Int64{}
	left.Store(messages)
	config.Logger = &mysql.NopLogger{}
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if left.Load() <= 0 {
			return nil, errKilled
		}
		connection, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return &mortalConn{connection, left}, err
	}
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	return pool
}

type mortalConn struct {
	net.Conn
	left *atomic.Int64
}

func (c *mortalConn) Write(b []byte) (int, error) {
	if c.left.Add(-1) < 0 {
		_ = c.Close()
		return 0, errKilled
	}
	return c.Conn.Write(b)
}

// dieAtEveryStep runs a change that ends after one message, then after two, and so on to the first
// that succeeds, and checks what each leaves.
func dieAtEveryStep(t *testing.T, prepare func(), change func(*sql.DB) error, check func(step int64, died bool)) {
	for step := int64(1); ; step++ {
		prepare()
		err := change(mortal(t, step))
		check(step, err != nil)
		if err == nil {
			assert.Greater(t, step, int64(15), "steps of a change")
			return
		}
		require.Less(t, step, int64(500))
	}
}

// unfill takes the rows and the record of a load away.
func unfill(t testing.TB, pool *sql.DB) {
	t.Helper()
	for i := range classicmodels.Schema {
		table := classicmodels.Schema[len(classicmodels.Schema)-1-i] // children before parents
		if table.Name == classicmodels.Employees {
			mariadbtest.Execute(t, pool, "UPDATE classicmodels.employees SET reportsTo = NULL")
		}
		mariadbtest.Execute(t, pool, "DELETE FROM classicmodels."+table.Name)
	}
	mariadbtest.Execute(t, pool, "DELETE FROM diecast.source_load")
}

func TestALoadThatDiesAtAnyStepIsBegunAgain(t *testing.T) {
	rows := expected(t, shop(t, nil))
	for name, wanted := range map[string]source.Contents{"sample": sample(nil),
		"dump": dumpOf(dumpText(t, shop(t, nil)))} {
		t.Run(name, func(t *testing.T) {
			pool := empty(t)
			apply(t, pool, source.Contents{Kind: source.Empty})
			dieAtEveryStep(t, func() { unfill(t, pool) }, func(mortal *sql.DB) error {
				_, err := source.New(mortal).Apply(t.Context(), wanted)
				return err
			}, func(step int64, died bool) {
				if died {
					state, err := source.New(pool).Status(t.Context())
					require.NoError(t, err)
					if state.Kind == source.Empty {
						for table, rows := range state.Tables {
							require.Zero(t, rows, "step %d: %s", step, table)
						}
					} else { // it died between the end of the load and the last user
						require.Equal(t, wanted.Kind, state.Kind, "step %d", step)
					}
				}
				apply(t, pool, wanted)
				require.Equal(t, rows, stored(t, pool), "step %d", step)
			})
		})
	}
}

// The schema's statements and the users' commit one by one: a loader that dies between any two is
// followed by one that makes the rest.
func TestASchemaThatIsLeftHalfMadeIsMadeWhole(t *testing.T) {
	pool := empty(t)
	dieAtEveryStep(t, func() {}, func(mortal *sql.DB) error {
		_, err := source.New(mortal).Apply(t.Context(), source.Contents{Kind: source.Empty})
		return err
	}, func(int64, bool) {})
	assert.Equal(t, source.Sample, apply(t, pool, sample(nil)).Kind)
	assert.Equal(t, expected(t, shop(t, nil)), stored(t, pool))
	require.NoError(t, login(t, pool, scripts.WebReader).PingContext(t.Context()))
}

func TestAnAdvanceThatDiesAtAnyStepIsAllOrNothing(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	day := 0
	dieAtEveryStep(t, func() {}, func(mortal *sql.DB) error {
		_, err := source.New(mortal).Advance(t.Context(), 8)
		return err
	}, func(step int64, died bool) {
		state, err := source.New(pool).Status(t.Context())
		require.NoError(t, err)
		if state.AdvanceDays != day { // the answer to the commit may be what was lost
			day += 8
		}
		require.Equal(t, day, state.AdvanceDays, "step %d", step)
		rows := expected(t, shop(t, func(o *classicmodels.Options) { o.AdvanceDays = day }))
		require.Equal(t, rows, stored(t, pool), "step %d", step)
		require.EqualValues(t, len(rows), state.Rows)
	})
	assert.GreaterOrEqual(t, day, 8)
}

func TestAChangeThatIsCancelledLeavesNoLockAndNoConnection(t *testing.T) {
	pool := empty(t)
	ctx, cancel := context.WithCancel(t.Context())
	wanted := dumpOf("")
	wanted.Dump = func(context.Context) (io.ReadCloser, error) {
		cancel()
		return nil, ctx.Err()
	}
	_, err := source.New(pool).Apply(ctx, wanted)
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, pool.Stats().InUse)
	assert.Equal(t, source.Sample, apply(t, pool, sample(nil)).Kind)
}
