package source_test

import (
	"database/sql/driver"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
)

func TestDaysAreTheSameInOneStepOrInSeveral(t *testing.T) {
	for _, scale := range []float64{0.1, 1.3} {
		scaled := func(days int) func(*classicmodels.Options) {
			return func(o *classicmodels.Options) { o.Scale, o.AdvanceDays = scale, days }
		}
		pool := empty(t)
		apply(t, pool, sample(scaled(0)))
		day := 0
		for _, step := range []int{1, 2, 30, 7, 400} {
			advanced, err := source.New(pool).Advance(t.Context(), step)
			require.NoError(t, err)
			day += step
			assert.Equal(t, []int{step, day, 0}, []int{advanced.Days, advanced.Since, advanced.Kept})
			rows := expected(t, shop(t, scaled(day)))
			require.Equal(t, rows, stored(t, pool), "day %d", day)
			state, err := source.New(pool).Status(t.Context())
			require.NoError(t, err)
			assert.EqualValues(t, len(rows), state.Rows)
			assert.Equal(t, day, state.AdvanceDays)
			assert.Contains(t, state.Detail, "advance="+itoa(day))
		}
	}
}

func TestOneDayBringsAllThatDaysBring(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(func(o *classicmodels.Options) { o.Scale = 5 }))
	advanced, err := source.New(pool).Advance(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, 1, advanced.WithdrawnProducts)
	assert.Greater(t, advanced.ChangedRatings, 0)
	for _, table := range []string{"orders", "orderdetails", "ratings", "products"} {
		assert.Greater(t, advanced.Added[table], 0, table)
	}
}

func TestDaysAreRefused(t *testing.T) {
	pool := empty(t)
	_, err := source.New(pool).Advance(t.Context(), 1)
	require.ErrorContains(t, err, "only a generated shop lives on (source.kind=sample), and the source is empty")
	apply(t, pool, sample(nil))
	for days, message := range map[int]string{0: "days is 0", -1: "days is -1",
		3651: "advance 3651: allowed are 0 to 3650 days"} {
		_, err := source.New(pool).Advance(t.Context(), days)
		require.ErrorContains(t, err, message)
	}
	mariadbtest.Execute(t, pool, "UPDATE diecast.source_load SET generator = 99")
	_, err = source.New(pool).Advance(t.Context(), 1)
	require.ErrorContains(t, err, "the shop was made by version 99 of the generator, and this is version 1")
	assert.Equal(t, expected(t, shop(t, nil)), stored(t, pool))
}

// What others did to the shop's rows since stays, as long as the shop's days do not run into it.
func TestDaysKeepWhatOthersChanged(t *testing.T) {
	pool := empty(t)
	apply(t, pool, sample(nil))
	later := expected(t, shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 30 }))
	var withdrawn, customer string
	changed := 0
	for key, row := range expected(t, shop(t, nil)) {
		if after, there := later[key]; strings.HasPrefix(key, "products/") && !there {
			withdrawn = strings.Split(row, "|")[0]
		} else if strings.HasPrefix(key, "ratings/") && after != row {
			changed++
		}
	}
	require.NotEmpty(t, withdrawn)
	require.Greater(t, changed, 1)
	require.NoError(
		t,
		pool.QueryRowContext(t.Context(), "SELECT min(customerNumber) FROM classicmodels.customers").Scan(&customer),
	)
	mariadbtest.Execute(
		t, pool,
		"INSERT INTO classicmodels.orders VALUES (1, '2005-06-01', '2005-06-09', NULL, 'In Process', 'by hand', ?)",
		customer,
	)
	mariadbtest.Execute(t, pool, "INSERT INTO classicmodels.orderdetails VALUES (1, ?, 1, 9.99, 1)", withdrawn)
	mariadbtest.Execute(t, pool, "UPDATE classicmodels.ratings SET ratedAt = '2006-01-01 00:00:00'")

	advanced, err := source.New(pool).Advance(t.Context(), 30)
	require.NoError(t, err)
	assert.Zero(t, advanced.ChangedRatings)
	assert.Equal(t, changed+1, advanced.Kept)
	var kept int
	require.NoError(
		t,
		pool.QueryRowContext(
			t.Context(), "SELECT count(*) FROM classicmodels.products WHERE productCode = ?", withdrawn,
		).Scan(
			&kept,
		),
	)
	assert.Equal(t, 1, kept)
}

func TestDaysThatRunIntoForeignRowsAreRefusedWhole(t *testing.T) {
	for name, statement := range map[string]string{
		"an order's number is taken": "INSERT INTO classicmodels.orders SELECT max(orderNumber) + 1, '2005-06-01', " +
			"'2005-06-09', NULL, 'In Process', NULL, min(customerNumber) FROM classicmodels.orders",
		"customers are gone": "DELETE FROM classicmodels.customers",
	} {
		t.Run(name, func(t *testing.T) {
			pool := empty(t)
			apply(t, pool, sample(nil))
			connection, err := pool.Conn(t.Context())
			require.NoError(t, err)
			for _, statement := range []string{"SET foreign_key_checks = 0", statement} {
				_, err = connection.ExecContext(t.Context(), statement)
				require.NoError(t, err)
			}
			require.ErrorIs(t, connection.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn)
			before := stored(t, pool)
			_, err = source.New(pool).Advance(t.Context(), 60)
			require.ErrorContains(
				t, err, "the source has rows that the generated shop did not make, or lacks some that it made",
			)
			require.ErrorContains(t, err, "nothing of it was kept")
			assert.Equal(t, before, stored(t, pool))
		})
	}
}
