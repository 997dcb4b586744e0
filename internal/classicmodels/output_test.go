package classicmodels_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/trainingset"
)

// load runs a SQL file. All tests share the schema that the files name, so they do not run side by
// side.
func load(t *testing.T, text string) *sql.DB {
	t.Helper()
	database, err := sql.Open("mysql", mariadbtest.Server(t).DSN("")+"&multiStatements=true")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, database.Close()) })
	_, err = database.ExecContext(t.Context(), text)
	require.NoError(t, err)
	return database
}

// stored are the database's rows by table and key, in the form of keep.
func stored(t *testing.T, database *sql.DB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range classicmodels.Schema {
		found, err := database.QueryContext(t.Context(), "SELECT * FROM classicmodels."+table.Name)
		require.NoError(t, err)
		names, err := found.Columns()
		require.NoError(t, err)
		require.Equal(t, table.ColumnNames(), names)
		for found.Next() {
			values, targets := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				targets[i] = &values[i]
			}
			require.NoError(t, found.Scan(targets...))
			texts := make([]string, len(names))
			for i, value := range values {
				texts[i] = text(table.Columns[i], value)
			}
			key := table.Name
			for _, column := range table.PrimaryKey {
				key += "/" + texts[table.Index(column)]
			}
			all[key] = strings.Join(texts, "|") + "|"
		}
		require.NoError(t, found.Err())
		require.NoError(t, found.Close())
	}
	return all
}

func text(column classicmodels.Column, value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case []byte:
		return string(value)
	case time.Time:
		if column.Kind == classicmodels.Date {
			return value.Format(time.DateOnly)
		}
		return value.Format(time.DateTime)
	}
	return fmt.Sprint(value)
}

func TestDumpLoadsIntoTheServerAsItWasMade(t *testing.T) {
	for name, change := range map[string]func(*classicmodels.Options){
		"scale 1":            nil,
		"advanced scale 2.3": func(o *classicmodels.Options) { o.Scale, o.AdvanceDays = 2.3, 40 },
	} {
		t.Run(name, func(t *testing.T) {
			made, written := shop(t, change), memory{}
			_, err := classicmodels.WriteSQL(t.Context(), made, written.create)
			require.NoError(t, err)
			database := load(t, written["classicmodels.sql"].String())
			expected := map[string]string{}
			require.NoError(t, made.Scan(t.Context(), keep(expected)))
			assert.Equal(t, expected, stored(t, database))

			_, err = database.ExecContext(t.Context(), written["classicmodels.sql"].String())
			require.NoError(t, err, "loading again gives the same database")
			assert.Equal(t, expected, stored(t, database))
		})
	}
}

func TestServerHasTheSchemasTypes(t *testing.T) {
	written := memory{}
	_, err := classicmodels.WriteSQL(t.Context(), shop(t, nil), written.create)
	require.NoError(t, err)
	database := load(t, written["classicmodels.sql"].String())
	for _, table := range classicmodels.Schema {
		for _, column := range table.Columns {
			var found, nullable string
			require.NoError(t, database.QueryRowContext(t.Context(),
				`SELECT column_type, is_nullable FROM information_schema.columns
				WHERE table_schema = 'classicmodels' AND table_name = ? AND column_name = ?`, table.Name,
				column.Name).Scan(&found, &nullable))
			// MariaDB still prints the display width that MySQL 8.4 dropped.
			found = strings.NewReplacer("smallint(6)", "smallint", "int(11)", "int").Replace(found)
			assert.Equal(t, column.Type, found, "%s.%s", table.Name, column.Name)
			assert.Equal(t, map[bool]string{true: "YES", false: "NO"}[column.Nullable], nullable, "%s.%s", table.Name,
				column.Name)
		}
		var keys int
		require.NoError(t, database.QueryRowContext(t.Context(),
			`SELECT count(*) FROM information_schema.referential_constraints
			WHERE constraint_schema = 'classicmodels' AND table_name = ?`, table.Name).Scan(&keys))
		assert.Equal(t, len(table.ForeignKeys), keys, table.Name)
	}
	_, err = database.ExecContext(t.Context(), "INSERT INTO classicmodels.ratings VALUES (1, 'S10_1', 3, '2005-01-01')")
	assert.ErrorContains(t, err, "foreign key")
}

func TestAdvanceLoadsOverThePastAndTwice(t *testing.T) {
	written := memory{}
	_, err := classicmodels.WriteSQL(t.Context(), shop(t, nil), written.create)
	require.NoError(t, err)
	later := shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 45 })
	_, err = classicmodels.WriteAdvanceSQL(t.Context(), later, 45, written.create)
	require.NoError(t, err)
	expected := map[string]string{}
	require.NoError(t, later.Scan(t.Context(), keep(expected)))

	database := load(t, written["classicmodels.sql"].String())
	for range 2 {
		_, err = database.ExecContext(t.Context(), written["advance-0001-0045.sql"].String())
		require.NoError(t, err)
		assert.Equal(t, expected, stored(t, database))
	}
}

func TestTrainingSetKeepsItsContract(t *testing.T) {
	for name, change := range map[string]func(*classicmodels.Options){
		"scale 1": nil, "advanced": func(o *classicmodels.Options) { o.Scale, o.AdvanceDays = 1.5, 10 },
	} {
		t.Run(name, func(t *testing.T) {
			made, folder := shop(t, change), t.TempDir()
			_, err := classicmodels.WriteTraining(t.Context(), made, classicmodels.Directory(folder))
			require.NoError(t, err)
			run := filepath.Join(folder, trainingset.Prefix, classicmodels.RunID(made))
			manifest, err := trainingset.Verify(os.DirFS(run))
			require.NoError(t, err)
			assert.Equal(t, trainingset.Replace, manifest.Strategy)
			assert.Equal(t, made.Now(), manifest.CreatedAt)
			assert.Equal(t, "generated", manifest.Source.Kind)

			all := rows(t, made)
			assert.EqualValues(t, len(all["ratings"]), manifest.Tables.Ratings.Rows)
			assert.EqualValues(t, len(all["products"]), manifest.Tables.Products.Rows)
			assert.EqualValues(t, len(all["customers"]), manifest.Tables.Customers.Rows)
			content, err := os.ReadFile(filepath.Join(run, "ratings", "part-00000.csv"))
			require.NoError(t, err)
			customers := map[string]map[string]string{}
			for _, row := range all["customers"] {
				customers[row["customerNumber"]] = row
			}
			for i, row := range records(t, string(content)) {
				rating, customer := all["ratings"][i], customers[row["customerNumber"]]
				require.Equal(t, rating["productRating"], row["productRating"])
				require.Equal(t, rating["productCode"], row["productCode"])
				require.Equal(t, strings.Replace(rating["ratedAt"], " ", "T", 1)+"Z", row["ratedAt"])
				require.Equal(t, []string{customer["city"], customer["state"], customer["creditLimit"], "1"},
					[]string{row["city"], row["state"], row["creditLimit"], row["ratingCount"]})
			}
		})
	}
}

func TestRunsSortByTimeAndFollowFromTheOptions(t *testing.T) {
	first, again := classicmodels.RunID(shop(t, nil)), classicmodels.RunID(shop(t, nil))
	assert.Equal(t, first, again)
	assert.Greater(t, classicmodels.RunID(shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 1 })), first)
	assert.NotEqual(t, first, classicmodels.RunID(shop(t, func(o *classicmodels.Options) { o.Seed = 5 })))
}

func TestFilesAreWhatIsReportedOfThem(t *testing.T) {
	written := memory{}
	files, err := classicmodels.WriteCSV(t.Context(), shop(t, nil), written.create)
	require.NoError(t, err)
	require.Len(t, files, 9)
	for _, file := range files {
		digest := sha256.Sum256(written[file.Path].Bytes())
		assert.Equal(t, hex.EncodeToString(digest[:]), file.SHA256)
		assert.EqualValues(t, written[file.Path].Len(), file.Bytes)
		assert.Len(t, records(t, written[file.Path].String()), int(file.Rows))
	}
}

func TestExistingFilesAreNotReplaced(t *testing.T) {
	create := classicmodels.Directory(t.TempDir())
	_, err := classicmodels.WriteSQL(t.Context(), shop(t, nil), create)
	require.NoError(t, err)
	_, err = classicmodels.WriteSQL(t.Context(), shop(t, nil), create)
	assert.ErrorIs(t, err, os.ErrExist)
}

func take(t *testing.T, made *classicmodels.Shop, options classicmodels.EventOptions,
	count int) (events []classicmodels.Event) {
	t.Helper()
	stream, err := made.Events(options)
	require.NoError(t, err)
	for event := range stream {
		if events = append(events, event); len(events) == count {
			return events
		}
	}
	return events
}

func TestEventsAreAcceptedExactlyAsLabelled(t *testing.T) {
	for name, options := range map[string]classicmodels.EventOptions{
		"all fields": {BrokenShare: 0.3}, "the course's fields": {BrokenShare: 0.3, CourseFields: true, Seed: 4},
		"one session": {Sessions: 1, BrokenShare: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			kinds := map[string]int{}
			for _, event := range take(t, shop(t, nil), options, 5000) {
				decoded, err := activity.Decode(event.Payload)
				kinds[event.Broken]++
				if event.Broken != "" {
					require.Error(t, err, "%s: %s", event.Broken, event.Payload)
					continue
				}
				require.NoError(t, err, "%s", event.Payload)
				require.Equal(t, event.SessionID, decoded.SessionID)
				require.NotContains(t, string(event.Payload), "\n")
			}
			for _, kind := range classicmodels.BrokenKinds() {
				assert.Greater(t, kinds[kind], 0, kind)
			}
			assert.Len(t, kinds, len(classicmodels.BrokenKinds())+1)
			assert.InDelta(t, 5000*(1-options.BrokenShare), kinds[""], 150)
		})
	}
}

func TestEventsAreAsTheLiveDataIs(t *testing.T) {
	made := shop(t, nil)
	known := distinct(rows(t, made)["customers"], "customerNumber")
	cities := distinct(rows(t, made)["customers"], "city")
	sessions, types := map[string]int{}, map[string]int{}
	var strings_, numbers, unknown, elsewhere, empty, missing int
	previous := time.Time{}
	events := take(t, made, classicmodels.EventOptions{}, 20_000)
	for _, event := range events {
		var fields map[string]any
		require.NoError(t, json.Unmarshal(event.Payload, &fields))
		sessions[event.SessionID]++
		types[fields["event_type"].(string)]++
		unknown += count(known[fmt.Sprint(fields["customer_number"])] == 0)
		elsewhere += count(cities[strings.ToLower(strings.TrimSpace(fields["city"].(string)))] == 0)
		history, found := fields["browse_history"].([]any)
		missing += count(!found)
		empty += count(found && len(history) == 0)
		for _, entry := range history {
			switch entry.(map[string]any)["quantity"].(type) {
			case string:
				strings_++
			default:
				numbers++
			}
		}
		at, err := time.Parse(time.RFC3339, fields["event_time"].(string))
		require.NoError(t, err)
		require.True(t, at.After(previous))
		previous = at
	}
	assert.InDelta(t, 0.9, float64(strings_)/float64(strings_+numbers), 0.03)
	assert.InDelta(t, 0.1, float64(unknown)/20_000, 0.06)
	for name, counted := range map[string]int{"unknown cities": elsewhere, "empty histories": empty,
		"missing histories": missing,
		"views":             types["view"], "carts": types["cart"], "checkouts": types["checkout"]} {
		assert.Greater(t, counted, 0, name)
	}
	assert.Len(t, types, 3)
	// Sessions end, so a busy place is taken by many: the skew shows in a short time.
	busiest := map[string]int{}
	for _, event := range events[:1000] {
		busiest[event.SessionID]++
	}
	most, quiet := 0, 0
	for _, n := range busiest {
		most = max(most, n)
		quiet += count(n <= 2)
	}
	assert.GreaterOrEqual(t, most, 15)
	assert.Greater(t, quiet, 10)
}

func TestSessionsFollowThePlantedPreferences(t *testing.T) {
	liking := func(strength float64) float64 {
		made, written := shop(t, func(o *classicmodels.Options) { o.Strength = strength }), memory{}
		_, err := classicmodels.WriteTruth(t.Context(), made, written.create)
		require.NoError(t, err)
		tastes, traits := map[string]map[string]string{}, map[string]map[string]string{}
		for _, row := range records(t, written["truth/preferences.csv"].String()) {
			tastes[row["customerNumber"]] = row
		}
		for _, row := range records(t, written["truth/product_traits.csv"].String()) {
			traits[row["productCode"]] = row
		}
		var sum, looks float64
		for _, event := range take(t, made, classicmodels.EventOptions{}, 5000) {
			decoded, err := activity.Decode(event.Payload)
			require.NoError(t, err)
			taste, known := tastes[fmt.Sprint(decoded.CustomerNumber)]
			for _, entry := range decoded.BrowseHistory {
				if trait := traits[entry.ProductCode]; known {
					sum += number(t, taste[trait["productLine"]]) + number(t, taste[trait["productScale"]]) +
						number(t, taste["priceTaste"])*number(t, trait["priceLevel"])
					looks++
				}
			}
		}
		return sum / looks
	}
	assert.Greater(t, liking(0.8), 0.8, "in standard deviations of the affinity")
	assert.InDelta(t, 0, liking(0), 0.15)
}

func TestEventsWithAClockAndTheirOptions(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.FixedZone("CET", 3600))
	events := take(t, shop(t, nil), classicmodels.EventOptions{Clock: func() time.Time { return now }}, 3)
	assert.Contains(t, string(events[2].Payload), `"event_time":"2026-02-03T03:05:06.000Z"`)
	plain := take(t, shop(t, nil), classicmodels.EventOptions{CourseFields: true}, 200)
	for _, event := range plain {
		for _, field := range []string{"event_id", "event_time", "event_type", "schema_version"} {
			require.NotContains(t, string(event.Payload), field)
		}
	}
	_, err := shop(t, nil).Events(classicmodels.EventOptions{BrokenShare: 2, Sessions: -1})
	assert.ErrorContains(t, err, "broken share 2")
	assert.ErrorContains(t, err, "sessions -1")
}
