package sales

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	scripts "diecast/sql"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// shop fills the source anew and returns a pool of its administrator and one of the web servers'.
func shop(t testing.TB, contents source.Contents) (root, reader *sql.DB) {
	t.Helper()
	root = mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	mariadbtest.Execute(t, root, "DROP DATABASE IF EXISTS classicmodels")
	mariadbtest.Execute(t, root, "DROP DATABASE IF EXISTS diecast")
	_, err := source.New(root).Apply(t.Context(), contents)
	require.NoError(t, err)
	mariadbtest.Execute(t, root, "ALTER USER '"+scripts.WebReader+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	return root, mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(scripts.WebReader, "open", classicmodels.Database))
}

func sample() source.Contents {
	return source.Contents{Kind: source.Sample, Options: classicmodels.DefaultOptions()}
}

// sums of a selection by the database itself, written independently of the package's statements.
func sums(t *testing.T, pool *sql.DB, by, where string, arguments ...any) map[string]string {
	t.Helper()
	rows, err := pool.QueryContext(t.Context(), `SELECT `+by+` AS name, SUM(quantityOrdered * priceEach),
		COUNT(DISTINCT orderNumber), SUM(quantityOrdered) FROM classicmodels.orderdetails
		JOIN classicmodels.orders USING (orderNumber) JOIN classicmodels.products USING (productCode)
		JOIN classicmodels.customers USING (customerNumber)
		WHERE status NOT IN ('Cancelled') AND `+where+` GROUP BY name`, arguments...)
	require.NoError(t, err)
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var name, revenue, orders, quantity string
		require.NoError(t, rows.Scan(&name, &revenue, &orders, &quantity))
		all[name] = revenue + " " + orders + " " + quantity
	}
	require.NoError(t, rows.Err())
	return all
}

func words(t Totals) string { return fmt.Sprintf("%s %d %d", t.Revenue, t.Orders, t.Quantity) }

func TestFiguresAgreeWithTheDatabaseToTheCent(t *testing.T) {
	root, reader := shop(t, sample())
	figures, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	first, last, sold := figures.Span()
	require.True(t, sold)
	for _, line := range append([]string{""}, figures.Lines()...) {
		for _, country := range []string{"", "France", "Norway", "USA"} {
			for _, period := range [][2]Day{{first, last}, {first + 100, first + 200}, {last - 29, last}} {
				filter := Filter{From: period[0], To: period[1], Line: line, Country: country}
				where, arguments := "orderDate BETWEEN ? AND ?", []any{filter.From.String(), filter.To.String()}
				if line != "" {
					where, arguments = where+" AND productLine = ?", append(arguments, line)
				}
				if country != "" {
					where, arguments = where+" AND TRIM(country) = ?", append(arguments, country)
				}
				report := figures.Report(filter)
				of := map[string]map[string]string{}
				for _, by := range []string{"'all'", "productLine", "TRIM(country)", "productCode"} {
					of[by] = map[string]string{}
				}
				if report.Orders > 0 {
					of["'all'"]["all"] = words(report.Totals)
				}
				for _, row := range report.Lines {
					of["productLine"][row.Name] = words(row.Totals)
				}
				for _, row := range report.Countries {
					of["TRIM(country)"][row.Name] = words(row.Totals)
				}
				for _, row := range report.Products {
					of["productCode"][row.Code] = words(row.Totals)
				}
				for by, got := range of {
					require.Equal(t, sums(t, root, by, where, arguments...), got, "%s of %+v", by, filter)
				}
				var revenue Cents
				for _, point := range report.Points {
					revenue += point.Revenue
				}
				require.Equal(t, report.Revenue, revenue)
			}
		}
	}
}

// A dump whose tables spell a name in several ways is added up as its own joins would.
func TestNamesAreComparedAsTheDatabaseDoes(t *testing.T) {
	root, reader := shop(t, sample())
	before, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	first, last, _ := before.Span()
	all := Filter{From: first, To: last}
	for _, statement := range []string{
		"UPDATE classicmodels.customers SET country = CONCAT(LOWER(country), '  ') WHERE customerNumber % 2 = 0",
		"UPDATE classicmodels.orderdetails SET productCode = LOWER(productCode) WHERE orderNumber % 2 = 0",
		"UPDATE classicmodels.products SET productLine = UPPER(productLine) WHERE RIGHT(productCode, 1) < '5'",
	} {
		mariadbtest.Execute(t, root, statement)
	}
	after, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before.Lines(), after.Lines(), "as the catalogue spells them")
	assert.Len(t, after.Countries(), len(before.Countries()))
	was, is := before.Report(all), after.Report(all)
	assert.Equal(t, was.Lines, is.Lines)
	assert.Len(t, is.Products, len(was.Products))
	for i := range was.Products {
		assert.Equal(t, was.Products[i].Totals, is.Products[i].Totals)
	}
	require.Len(t, is.Countries, len(was.Countries))
	for i := range was.Countries {
		assert.Equal(t, was.Countries[i].Totals, is.Countries[i].Totals)
	}
	assert.Equal(t, was.Totals, is.Totals)
}

func TestCancelledOrdersDoNotCount(t *testing.T) {
	root, reader := shop(t, sample())
	before, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	first, last, _ := before.Span()
	mariadbtest.Execute(t, root, "UPDATE classicmodels.orders SET status = 'Cancelled' WHERE orderDate > '2003-02-01'")
	after, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	all := Filter{From: first, To: last}
	assert.Less(t, after.Report(all).Orders, before.Report(all).Orders)
	_, last, _ = after.Span()
	assert.LessOrEqual(t, last.String(), "2003-02-01")
}

func TestSpikesAreThoseOfTheDefinition(t *testing.T) {
	_, reader := shop(t, sample())
	figures, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	var days []string
	rows, err := reader.QueryContext(t.Context(),
		"SELECT orderDate FROM ("+scripts.SpikeDays+") AS days WHERE spike = 1 ORDER BY orderDate")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var day time.Time
		require.NoError(t, rows.Scan(&day))
		days = append(days, day.Format(time.DateOnly))
	}
	require.NotEmpty(t, days)
	var got []string
	for _, spike := range figures.spikes {
		got = append(got, spike.Day.String())
		assert.Greater(t, spike.Revenue, spike.Threshold)
	}
	assert.Equal(t, days, got)
}

func TestAnEmptyDatabaseGivesEmptyFigures(t *testing.T) {
	_, reader := shop(t, source.Contents{Kind: source.Empty})
	figures, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	_, _, sold := figures.Span()
	assert.False(t, sold)
	assert.Empty(t, figures.Lines())
}

// All statements of a reading see one moment, whatever the server's own isolation is and whatever
// is sold between two of them.
func TestAReadingIsOfOneMoment(t *testing.T) {
	root, reader := shop(t, sample())
	mariadbtest.Execute(t, root, "SET GLOBAL transaction_isolation = 'READ-COMMITTED'")
	t.Cleanup(func() { mariadbtest.Execute(t, root, "SET GLOBAL transaction_isolation = DEFAULT") })
	before, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before.spikes)

	config, err := mysql.ParseDSN(mariadbtest.Server(t).DSNFor(scripts.WebReader, "open", classicmodels.Database))
	require.NoError(t, err)
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	meanwhile := 0
	pool := sql.OpenDB(watched{connector, func(statement string) {
		switch statement {
		case scripts.SalesItems, scripts.SpikeDays:
			meanwhile++
			mariadbtest.Execute(t, root, "UPDATE classicmodels.orderdetails SET quantityOrdered = quantityOrdered + 1")
		}
	}})
	t.Cleanup(func() { assert.NoError(t, pool.Close()) })
	during, err := NewDatabase(pool).Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 2, meanwhile)
	first, last, _ := before.Span()
	assert.Equal(t, before.Report(Filter{From: first, To: last}), during.Report(Filter{From: first, To: last}))
	after, err := NewDatabase(reader).Read(t.Context())
	require.NoError(t, err)
	assert.NotEqual(t, before.Report(Filter{From: first, To: last}).Totals,
		after.Report(Filter{From: first, To: last}).Totals, "it was changed")
}

// watched connections tell each query before they ask it.
type watched struct {
	driver.Connector
	before func(statement string)
}

func (w watched) Connect(ctx context.Context) (driver.Conn, error) {
	opened, err := w.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return watchedConnection{opened.(connection), w.before}, nil
}

// connection is what a driver's connection can do here.
type connection interface {
	driver.Conn
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
}

type watchedConnection struct {
	connection
	before func(statement string)
}

func (w watchedConnection) QueryContext(ctx context.Context, statement string,
	arguments []driver.NamedValue) (driver.Rows, error) {
	w.before(statement)
	return w.connection.QueryContext(ctx, statement, arguments)
}

func TestMoreLinesThanAreHeldAreRefused(t *testing.T) {
	_, reader := shop(t, sample())
	database := NewDatabase(reader)
	database.most = 100
	_, err := database.Read(t.Context())
	require.ErrorIs(t, err, ErrTooMany)
}

func TestASlowStatementIsEndedByTheServer(t *testing.T) {
	root, reader := shop(t, sample())
	lock, err := root.Conn(t.Context())
	require.NoError(t, err)
	defer lock.Close()
	_, err = lock.ExecContext(t.Context(), "LOCK TABLES classicmodels.orders WRITE")
	require.NoError(t, err)
	database := NewDatabase(reader)
	database.limit = 200 * time.Millisecond
	_, err = database.Read(t.Context())
	require.ErrorIs(t, err, ErrTooSlow)
}

func TestADatabaseThatIsNotThereIsUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	config := mysql.NewConfig()
	config.Net, config.Addr, config.User = "tcp", address, "web_reader"
	pool := mariadbtest.Open(t, config.FormatDSN())
	_, err = NewDatabase(pool).Read(t.Context())
	require.ErrorIs(t, err, ErrUnreachable)
}

func TestADatabaseThatRefusesIsNotUnreachable(t *testing.T) {
	shop(t, sample())
	server := mariadbtest.Server(t)
	for _, dsn := range []string{
		server.DSNFor(scripts.WebReader, "another", classicmodels.Database),
		server.DSNFor(scripts.WebReader, "open", "no_such_database"),
	} {
		_, err := NewDatabase(mariadbtest.Open(t, dsn)).Read(t.Context())
		require.ErrorIs(t, err, ErrRefused)
		require.NotErrorIs(t, err, ErrUnreachable)
	}
}

func TestTheWebServersReadNothingElse(t *testing.T) {
	_, reader := shop(t, sample())
	for _, statement := range []string{"SELECT customerName FROM customers", "SELECT * FROM payments",
		"SELECT comments FROM orders", "DELETE FROM orders"} {
		_, err := reader.ExecContext(t.Context(), statement)
		require.ErrorContains(t, err, "denied", statement)
	}
}

// readings gives one result after the other and notes when it was asked.
type readings struct {
	results []error
	asked   []time.Duration
	begin   time.Time
}

func (r *readings) Read(context.Context) (*Figures, error) {
	r.asked = append(r.asked, time.Since(r.begin))
	result := r.results[min(len(r.asked), len(r.results))-1]
	if result != nil {
		return nil, result
	}
	return New(time.Now(), nil, nil, nil, nil), nil
}

func TestTheDatabaseIsAskedOncePerInterval(t *testing.T) {
	for name, c := range map[string]struct {
		results []error
		asked   []time.Duration
	}{
		"it answers": {[]error{nil}, []time.Duration{0, 5 * time.Minute, 10 * time.Minute}},
		"it fails":   {[]error{ErrTooSlow}, []time.Duration{0, 5 * time.Minute, 10 * time.Minute}},
		"it is not there": {[]error{ErrUnreachable},
			[]time.Duration{0, 5 * time.Second, 15 * time.Second, 35 * time.Second}},
		"it refuses": {[]error{ErrRefused},
			[]time.Duration{0, 5 * time.Second, 15 * time.Second, 35 * time.Second}},
		"it comes back": {[]error{ErrUnreachable, ErrUnreachable, nil, ErrUnreachable},
			[]time.Duration{0, 5 * time.Second, 15 * time.Second, 315 * time.Second, 320 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reader := &readings{results: c.results, begin: time.Now()}
				refresher := NewRefresher(reader, 5*time.Minute, slog.New(slog.DiscardHandler))
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { refresher.Run(ctx); close(done) }()
				time.Sleep(c.asked[len(c.asked)-1] + time.Millisecond) // of the bubble's clock
				cancel()
				<-done
				assert.Equal(t, c.asked, reader.asked)
			})
		})
	}
}

func TestFiguresStayWhenALaterReadingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := &readings{results: []error{nil, ErrTooSlow}, begin: time.Now()}
		refresher := NewRefresher(reader, time.Minute, slog.New(slog.DiscardHandler))
		assert.Equal(t, State{}, refresher.State())
		require.NoError(t, refresher.keeper.Refresh(t.Context()))
		first := refresher.State()
		require.NotNil(t, first.Figures)
		require.NoError(t, first.Failed)
		require.ErrorIs(t, refresher.keeper.Refresh(t.Context()), ErrTooSlow)
		later := refresher.State()
		assert.Same(t, first.Figures, later.Figures)
		assert.ErrorIs(t, later.Failed, ErrTooSlow)
	})
}
