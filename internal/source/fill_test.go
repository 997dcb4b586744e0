package source_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/source"
)

// dumpText is a source's dump.
func dumpText(t testing.TB, made classicmodels.Source) string {
	t.Helper()
	var written bytes.Buffer
	_, err := classicmodels.WriteSQL(
		context.Background(), made, func(string) (io.WriteCloser, error) { return closing{&written}, nil },
	)
	require.NoError(t, err)
	return written.String()
}

func dumpOf(content string) source.Contents {
	return source.Contents{
		Kind:     source.Dump,
		DumpName: "s3://bucket/shop.sql",
		Dump: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(content)), nil
		},
	}
}

// alphabetical puts a dump's tables into the order of their names, as mysqldump does: children
// before parents.
func alphabetical(t testing.TB, content string) string {
	t.Helper()
	head, body, found := strings.Cut(content, "CREATE TABLE ")
	require.True(t, found)
	body, tail, found := strings.Cut(body, "START TRANSACTION;\n")
	require.True(t, found)
	parts := map[string]string{}
	for table := range strings.SplitSeq("CREATE TABLE "+body, "CREATE TABLE ") {
		if table != "" {
			name, _, _ := strings.Cut(table, " ")
			parts[name] = "CREATE TABLE " + table
		}
	}
	for insert := range strings.SplitSeq(strings.TrimSuffix(tail, "COMMIT;\nSET FOREIGN_KEY_CHECKS = 1;\n"),
		"INSERT INTO ") {
		if insert != "" {
			name, _, _ := strings.Cut(insert, " ")
			parts[name] += "INSERT INTO " + insert
		}
	}
	for _, name := range []string{"customers", "employees", "offices", "orderdetails", "orders", "payments",
		"productlines", "products", "ratings"} {
		head += parts["`classicmodels`.`"+name+"`"]
	}
	return head
}

func TestADumpIsLoadedInAnyOrderOfItsTables(t *testing.T) {
	content := dumpText(t, shop(t, func(o *classicmodels.Options) { o.Scale = 1 }))
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := writer.Write([]byte(content))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	for name, form := range map[string]string{"the generator's": content, "mysqldump's": alphabetical(t, content),
		"packed": packed.String()} {
		t.Run(name, func(t *testing.T) {
			pool := empty(t)
			state := apply(t, pool, dumpOf(form))
			rows := expected(t, shop(t, func(o *classicmodels.Options) { o.Scale = 1 }))
			assert.Equal(t, rows, stored(t, pool))
			assert.Equal(t, source.Dump, state.Kind)
			assert.EqualValues(t, len(rows), state.Rows)
			assert.Contains(t, state.Detail, "file=shop.sql sha256=")
			assert.Contains(t, state.Detail, "ratings=given")

			_, err := source.New(pool).Advance(t.Context(), 1)
			require.ErrorContains(
				t, err,
				"only a generated shop lives on (source.kind=sample), and the source is a dump (file=shop.sql",
			)
			assert.Equal(t, rows, stored(t, pool))
		})
	}
}

// The server derives and dates ratings as ReadDump does in memory.
func TestRatingsOfADumpWithoutThemAreThoseOfReadDump(t *testing.T) {
	content := dumpText(t, shop(t, func(o *classicmodels.Options) { o.Scale = 1 }))
	for name, form := range map[string]string{
		"derived": strings.ReplaceAll(content, "`classicmodels`.`ratings`", "`classicmodels`.`opinions`"),
		"undated": strings.ReplaceAll(content, "`ratedAt`", "`noted`"),
	} {
		t.Run(name, func(t *testing.T) {
			dump, err := classicmodels.ReadDump(t.Context(), "shop.sql", strings.NewReader(form))
			require.NoError(t, err)
			require.NotEqual(t, classicmodels.RatingsGiven, dump.Ratings())
			pool := empty(t)
			state := apply(t, pool, dumpOf(form))
			rows := expected(t, dump)
			assert.Equal(t, rows, stored(t, pool))
			assert.EqualValues(t, len(rows), state.Rows)
		})
	}
}

func TestBadDumpsLeaveNothing(t *testing.T) {
	content := dumpText(t, shop(t, nil))
	pool := empty(t)
	change := func(old, new string) string {
		require.Contains(t, content, old)
		return strings.Replace(content, old, new, 1)
	}
	broken := errors.New("connection reset by S3")
	office := content[strings.Index(content, "\n('1',")+1:]
	office, _, _ = strings.Cut(office, "\n")
	for name, bad := range map[string]struct {
		contents source.Contents
		message  string
	}{
		"cannot be opened": {source.Contents{Kind: source.Dump, DumpName: "s3://bucket/shop.sql",
			Dump: func(context.Context) (io.ReadCloser, error) { return nil, broken }},
			"open s3://bucket/shop.sql: connection reset by S3"},
		"breaks off": {source.Contents{Kind: source.Dump, DumpName: "s3://bucket/shop.sql",
			Dump: func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(content[:len(content)/2]),
						iotest.ErrReader(broken))),
					nil
			}}, "cannot be read: connection reset by S3"},
		"truncated": {dumpOf(content[:len(content)*2/3]), "the file is truncated"},
		"truncated by lines": {dumpOf(content[:strings.LastIndex(content, "INSERT INTO `classicmodels`.`ratings`")]),
			"has no COMMIT: the file is truncated"},
		"a missing table": {dumpOf(strings.ReplaceAll(content, "`payments`", "`payed`")),
			"table payments: is missing"},
		"a bad value": {dumpOf(change("'NA')", "NULL)")), "column territory: it may not be null"},
		"a key twice": {dumpOf(change(office, office+"\n"+office)), "table offices: Error 1062"},
		"a missing parent": {dumpOf(change("\n('1',", "\n('11',")),
			"table employees: officeCode 1 is not in offices"},
		"not a dump": {dumpOf("PK\x03\x04"), "s3://bucket/shop.sql:1: the file is a zip archive"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source.New(pool).Apply(t.Context(), bad.contents)
			require.ErrorContains(t, err, bad.message)
			assert.ErrorContains(t, err, "nothing of it was kept")
			assert.Empty(t, stored(t, pool))
		})
	}
	apply(t, pool, dumpOf(content))
	assert.Equal(t, expected(t, shop(t, nil)), stored(t, pool))
}

func TestADoubleKeyNamesItsLine(t *testing.T) {
	content := dumpText(t, shop(t, func(o *classicmodels.Options) { o.Scale = 1 }))
	start := strings.Index(content, "INSERT INTO `classicmodels`.`orderdetails`")
	lines := strings.Split(content[start:], "\n")
	const first, again = 3, 777 // in two batches
	lines[again] = strings.TrimSuffix(lines[first], ",") + "," + "\n" + lines[again]
	pool := empty(t)
	_, err := source.New(pool).Apply(t.Context(), dumpOf(content[:start]+strings.Join(lines, "\n")))
	require.ErrorContains(
		t, err,
		"shop.sql:"+itoa(
			1+strings.Count(content[:start], "\n")+again,
		)+": table orderdetails: Error 1062 (23000): Duplicate entry",
	)
}

func itoa(n int) string { return classicmodels.IntegerValue(n).String() }

func TestTheTimeThatIsUpIsNamed(t *testing.T) {
	pool := empty(t)
	apply(t, pool, source.Contents{Kind: source.Empty})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	slow := dumpOf("")
	slow.Dump = func(ctx context.Context) (io.ReadCloser, error) {
		<-ctx.Done()
		return io.NopCloser(strings.NewReader(dumpText(t, shop(t, nil)))), nil
	}
	_, err := source.New(pool).Apply(ctx, slow)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "the time is up before all is loaded: load it by hand")
}

func TestTextsOfAllKindsArriveAsTheyAre(t *testing.T) {
	line := regexp.MustCompile(`\('Motorcycles','[^']*',NULL,NULL\)`)
	content := dumpText(t, shop(t, nil))
	require.Regexp(t, line, content)
	content = line.ReplaceAllLiteralString(
		content, `('Motorcycles','back\\slash \'quote\' "double" 日本 🙂 \r\n\0end','<b>',0x00FF27)`,
	)
	pool := empty(t)
	apply(t, pool, dumpOf(content))
	assert.Equal(
		t, "Motorcycles|back\\slash 'quote' \"double\" 日本 🙂 \r\n\x00end|<b>|\x00\xff'",
		stored(t, pool)["productlines/Motorcycles"],
	)
}
