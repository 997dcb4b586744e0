package catalogue

import (
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/picture"
	"diecast/internal/sales"
	"diecast/internal/source"
	scripts "diecast/sql"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// shop is the generated one, read as its administrator and as the web servers do.
func shop(t *testing.T) (root, reader *sql.DB) {
	t.Helper()
	root = mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	mariadbtest.Execute(t, root, "DROP DATABASE IF EXISTS classicmodels")
	mariadbtest.Execute(t, root, "DROP DATABASE IF EXISTS diecast")
	_, err := source.New(root).Apply(t.Context(), source.Contents{Kind: source.Sample,
		Options: classicmodels.DefaultOptions()})
	require.NoError(t, err)
	mariadbtest.Execute(t, root, "ALTER USER '"+scripts.WebReader+"'@'%' IDENTIFIED BY 'open' ACCOUNT UNLOCK")
	return root, mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(scripts.WebReader, "open", classicmodels.Database))
}

func TestTheCatalogueIsWhatTheDatabaseHolds(t *testing.T) {
	root, reader := shop(t)
	keeper := NewKeeper(NewDatabase(reader), time.Minute, slog.New(slog.DiscardHandler))
	require.NoError(t, keeper.Refresh(t.Context()))
	c := keeper.State().Held
	rows, err := root.QueryContext(t.Context(), `SELECT productCode, productName, productLine,
		CONCAT(MSRP), quantityInStock FROM classicmodels.products`)
	require.NoError(t, err)
	defer rows.Close()
	count, lines := 0, map[string]int{}
	for rows.Next() {
		var code, name, line, price string
		var stock int
		require.NoError(t, rows.Scan(&code, &name, &line, &price, &stock))
		found, known := c.Find(code)
		require.True(t, known, code)
		assert.Equal(t, []any{code, name, line, price, stock},
			[]any{found.Code, found.Name, found.Line, found.Price.String(), found.Stock})
		count++
		lines[line]++
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, count, c.Len())
	assert.Len(t, lines, len(c.Lines()))
	for _, line := range c.Lines() {
		assert.Equal(t, lines[line.Name], line.Products)
	}
	var customers int
	counted := root.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM classicmodels.customers")
	require.NoError(t, counted.Scan(&customers))
	assert.Equal(t, customers, c.Customers())
	assert.True(t, c.Knows(c.Sample(1)[0]))
	assert.False(t, c.Knows(-1))
	assert.WithinDuration(t, time.Now(), c.AsOf(), time.Minute)
}

func TestMoreProductsThanAreHeldAreRefusedAndMoreCustomersLeftOut(t *testing.T) {
	_, reader := shop(t)
	database := NewDatabase(reader)
	database.known = 10
	c, err := database.Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 10, c.Customers())
	database.products = 10
	_, err = database.Read(t.Context())
	require.ErrorIs(t, err, ErrTooMany)
	stranger := mariadbtest.Open(t, mariadbtest.Server(t).DSNFor(scripts.WebReader, "another", classicmodels.Database))
	_, err = NewDatabase(stranger).Read(t.Context())
	require.ErrorIs(t, err, picture.ErrRefused)
}

func small() *Catalogue {
	return New(time.Now(), []Product{
		{Code: "S3", Name: "Tug Boat", Line: "Ships"}, {Code: "S1", Name: "1952 Citroën", Line: "Cars"},
		{Code: "S10", Name: "Old boat", Line: "ships "}, {Code: "S2", Name: "Coupé", Line: "Cars"},
	}, []int32{103, 112, 114, 119})
}

func TestProductsAreFoundByCodeLineAndWords(t *testing.T) {
	c := small()
	assert.Equal(t, []Line{{"Cars", 2}, {"ships", 2}}, c.Lines(), "compared as the database does")
	for _, code := range []string{"S1", "S2", "S3", "S10"} {
		found, known := c.Find(code)
		assert.True(t, known)
		assert.Equal(t, code, found.Code)
	}
	for _, code := range []string{"", "S", "S0", "S4", "s1", "S100"} {
		_, known := c.Find(code)
		assert.False(t, known, code)
	}
	codes := func(line, words string, skip, most int) string {
		products, found := c.Search(line, words, skip, most)
		text := ""
		for _, p := range products {
			text += p.Code + " "
		}
		return fmt.Sprint(text, found)
	}
	assert.Equal(t, "S1 S2 S10 S3 4", codes("", "", 0, 9))
	assert.Equal(t, "S2 S10 4", codes("", "", 1, 2))
	assert.Equal(t, "S10 S3 2", codes("SHIPS", "", 0, 9))
	assert.Equal(t, "S10 S3 2", codes("", " BOAT ", 0, 9))
	assert.Equal(t, "S3 1", codes("", "boat tug", 0, 9))
	assert.Equal(t, "S1 1", codes("", "CITROËN", 0, 9))
	assert.Equal(t, "S10 1", codes("", "s10", 0, 9), "by code, too")
	assert.Equal(t, "0", codes("Cars", "boat", 0, 9))
	assert.Equal(t, "0", codes("Kites", "", 0, 9))
	assert.Equal(t, "4", codes("", "", 9, 9))
	empty := New(time.Now(), nil, nil)
	_, found := empty.Search("", "", 0, 9)
	assert.Zero(t, found)
	assert.Empty(t, empty.Sample(9))
}

func TestASampleIsSpreadOverAll(t *testing.T) {
	c := small()
	assert.Equal(t, []int{103, 114}, c.Sample(2))
	assert.Equal(t, []int{103, 112, 114, 119}, c.Sample(200))
}

// The doc comment's arithmetic.
func TestAProductTakesAboutAsMuchMemoryAsIsSaid(t *testing.T) {
	const count = 50_000
	read := func() *Catalogue {
		products := make([]Product, count)
		for i := range products {
			products[i] = Product{Code: fmt.Sprintf("S%02d_%06d", i%90, i), Line: strings.Clone("Vintage Cars"),
				Name: fmt.Sprintf("19%02d Alfa Romeo GTA %06d", i%90, i), Price: sales.Cents(i), Stock: i}
		}
		return New(time.Now(), products, nil)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c := read()
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.Less(t, float64(after.HeapAlloc-before.HeapAlloc)/count, 170.0)
	assert.Equal(t, count, c.Len())
}

// An address takes a thousand words, and whoever asks need not say who they are.
func TestAWordIsSearchedOnce(t *testing.T) {
	assert.Equal(t, []string{"1", "ford", "t"}, wordsOf(" Ford T ford"+strings.Repeat(" 1", 900)))
	assert.Empty(t, wordsOf("  "))
}
