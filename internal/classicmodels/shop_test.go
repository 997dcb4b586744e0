package classicmodels_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/classicmodels"
	"diecast/test/accept"
)

// The bytes at scale 1 are a contract: models are trained on them and other tests know them. Who
// accepts others trains the shipped model anew (make train).
func TestScaleOneKeepsItsBytes(t *testing.T) {
	written := memory{}
	base := shop(t, nil)
	later := shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 30 })
	for _, write := range []func() ([]classicmodels.File, error){
		func() ([]classicmodels.File, error) { return classicmodels.WriteSQL(t.Context(), base, written.create) },
		func() ([]classicmodels.File, error) { return classicmodels.WriteCSV(t.Context(), base, written.create) },
		func() ([]classicmodels.File, error) {
			return classicmodels.WriteTraining(t.Context(), base, written.create)
		},
		func() ([]classicmodels.File, error) {
			return classicmodels.WriteTruth(t.Context(), base, written.create)
		},
		func() ([]classicmodels.File, error) {
			return classicmodels.WriteAdvanceSQL(t.Context(), later, 30, written.create)
		},
	} {
		_, err := write()
		require.NoError(t, err)
	}
	_, _, err := base.WriteEvents(t.Context(), classicmodels.EventOptions{BrokenShare: 0.1}, 2000, "events.jsonl",
		written.create)
	require.NoError(t, err)
	digests := map[string]string{}
	for name, content := range written {
		digest := sha256.Sum256(content.Bytes())
		digests[name] = hex.EncodeToString(digest[:])
	}
	text, err := json.MarshalIndent(digests, "", "  ")
	require.NoError(t, err)
	accept.File(t, filepath.Join("testdata", "scale-1.sha256.json"), string(text)+"\n")
}

func TestCountsAreTheSampleDatabases(t *testing.T) {
	all := rows(t, shop(t, nil))
	counts := map[string]int{}
	for table, rows := range all {
		counts[table] = len(rows)
	}
	ratings, payments := counts["ratings"], counts["payments"]
	delete(counts, "ratings")
	delete(counts, "payments")
	assert.Equal(t, map[string]int{
		"customers": 122, "employees": 23, "offices": 7, "orders": 326, "orderdetails": 2996, "productlines": 7,
		"products": 110,
	}, counts)
	assert.InDelta(t, 2532, ratings, 50)
	assert.InDelta(t, 273, payments, 15)

	assert.Equal(t, map[string]int{
		"classic cars": 38, "vintage cars": 24, "motorcycles": 13, "planes": 12, "trucks and buses": 11, "ships": 9,
		"trains": 3,
	}, distinct(all["products"], "productLine"))
	assert.Equal(t, map[string]int{"1:18": 42, "1:24": 27, "1:700": 10, "1:12": 9, "1:32": 8, "1:10": 6, "1:72": 4,
		"1:50": 4},
		distinct(all["products"], "productScale"))
	assert.Equal(t, map[string]int{"shipped": 303, "cancelled": 6, "in process": 6, "resolved": 4, "on hold": 4,
		"disputed": 3},
		distinct(all["orders"], "status"))
	assert.Equal(t, "2003-01-06", all["orders"][0]["orderDate"])
	assert.Equal(t, "2005-05-31", all["orders"][325]["orderDate"])
	assert.Len(t, distinct(all["orders"], "customerNumber"), 98)
	assert.Len(t, distinct(all["orderdetails"], "productCode"), 109)
	for _, customer := range all["customers"] {
		number, err := strconv.Atoi(customer["customerNumber"])
		require.NoError(t, err)
		assert.True(t, number >= 103 && number <= 496, number)
	}
	for _, product := range all["products"] {
		assert.Regexp(t, `^S(10|12|18|24|32|50|72|700)_[0-9]{4}$`, product["productCode"])
	}
}

func TestRatingsHaveTheCoursesHistogram(t *testing.T) {
	for _, strength := range []float64{0, 0.5, 0.8, 1} {
		t.Run(strconv.FormatFloat(strength, 'f', -1, 64), func(t *testing.T) {
			ratings := rows(t, shop(t, func(o *classicmodels.Options) {
				o.Strength, o.Scale = strength,
					10
			}))["ratings"]
			counts := distinct(ratings, "productRating")
			for stars, expected := range map[string]float64{"1": 224, "2": 562, "3": 859, "4": 632, "5": 255} {
				assert.InDelta(t, expected/2532, float64(counts[stars])/float64(len(ratings)), 0.04, stars)
			}
		})
	}
}

func TestDataIsDirtyAsTheOriginalIs(t *testing.T) {
	all := rows(t, shop(t, nil))
	customers := all["customers"]
	ordering := distinct(all["orders"], "customerNumber")
	places := map[bool]map[string]bool{true: {}, false: {}}
	var padded, accented, stateless, codeless, limitless, unpaid int
	for _, customer := range customers {
		orders := ordering[customer["customerNumber"]] > 0
		places[orders][strings.ToLower(strings.TrimSpace(customer["city"]))] = true
		padded += count(customer["country"] != strings.TrimSpace(customer["country"]))
		accented += count(strings.ContainsFunc(customer["city"], func(r rune) bool { return r > 127 }))
		stateless += count(customer["state"] == "")
		codeless += count(customer["postalCode"] == "")
		limitless += count(customer["creditLimit"] == "")
		unpaid += count(!orders && customer["salesRepEmployeeNumber"] == "")
	}
	for name, counted := range map[string]int{
		"padded countries": padded, "accents": accented, "no state": stateless, "no postal code": codeless,
		"no credit limit": limitless, "no representative": unpaid,
	} {
		assert.Greater(t, counted, 0, name)
		assert.Less(t, counted, len(customers), name)
	}
	assert.Len(t, places[true], 77, "cities of customers with orders")
	seenNowhereElse := 0
	for city := range places[false] {
		seenNowhereElse += count(!places[true][city])
	}
	assert.Equal(t, 18, seenNowhereElse)
}

func count(condition bool) int {
	if condition {
		return 1
	}
	return 0
}

func TestEveryKeyRefersToARow(t *testing.T) {
	for name, change := range map[string]func(*classicmodels.Options){
		"scale 1":               nil,
		"scale 0.1":             func(o *classicmodels.Options) { o.Scale = 0.1 },
		"scale 2.7":             func(o *classicmodels.Options) { o.Scale = 2.7 },
		"scale 20":              func(o *classicmodels.Options) { o.Scale = 20 },
		"another seed, advance": func(o *classicmodels.Options) { o.Seed, o.AdvanceDays = 99, 400 },
		"scale 3.1, advance":    func(o *classicmodels.Options) { o.Scale, o.AdvanceDays = 3.1, 90 },
	} {
		t.Run(name, func(t *testing.T) {
			all := rows(t, shop(t, change))
			keys := map[string]map[string]bool{}
			key := func(row map[string]string, columns []string) string {
				text := ""
				for _, column := range columns {
					text += row[column] + "/"
				}
				return text
			}
			for _, table := range classicmodels.Schema {
				keys[table.Name] = map[string]bool{}
				for _, row := range all[table.Name] {
					id := key(row, table.PrimaryKey)
					require.False(t, keys[table.Name][id], "%s: key %s twice", table.Name, id)
					keys[table.Name][id] = true
					for _, column := range table.Columns {
						text, found := row[column.Name]
						require.True(t, found || column.Nullable, "%s.%s is null", table.Name, column.Name)
						require.True(t, column.Length == 0 || len([]rune(text)) <= column.Length,
							"%s.%s is too long: %s", table.Name, column.Name, text)
					}
				}
			}
			for _, table := range classicmodels.Schema {
				for _, foreign := range table.ForeignKeys {
					for _, row := range all[table.Name] {
						if value, found := row[foreign.Column]; found {
							require.True(t, keys[foreign.Table][value+"/"], "%s.%s %s is not in %s", table.Name,
								foreign.Column, value, foreign.Table)
						}
					}
				}
			}
			ordered := map[string]bool{}
			buyer := map[string]string{}
			for _, order := range all["orders"] {
				buyer[order["orderNumber"]] = order["customerNumber"]
			}
			for _, line := range all["orderdetails"] {
				ordered[buyer[line["orderNumber"]]+"/"+line["productCode"]+"/"] = true
			}
			assert.Equal(t, ordered, keys["ratings"], "one rating for each pair that was ever ordered")
		})
	}
}

func TestScaleMultipliesTheCounts(t *testing.T) {
	all := rows(t, shop(t, func(o *classicmodels.Options) { o.Scale = 3.5 }))
	assert.Len(t, all["customers"], 427)
	assert.Len(t, all["products"], 385)
	assert.Len(t, all["orders"], 1141)
	assert.Len(t, all["orderdetails"], 10486)
	assert.Len(t, all["productlines"], 7)
}

func correlation(x, y []float64) float64 {
	mean := func(values []float64) (sum float64) {
		for _, value := range values {
			sum += value / float64(len(values))
		}
		return sum
	}
	meanX, meanY := mean(x), mean(y)
	var xy, xx, yy float64
	for i := range x {
		xy += (x[i] - meanX) * (y[i] - meanY)
		xx += (x[i] - meanX) * (x[i] - meanX)
		yy += (y[i] - meanY) * (y[i] - meanY)
	}
	return xy / math.Sqrt(xx*yy)
}

// The truth beside the data tells how much of the ratings can be known.
func TestStrengthIsTheCorrelationWithTheAffinity(t *testing.T) {
	for strength, expected := range map[float64]float64{0: 0, 0.3: 0.28, 0.8: 0.76, 1: 0.95} {
		t.Run(strconv.FormatFloat(strength, 'f', -1, 64), func(t *testing.T) {
			made := shop(t, func(o *classicmodels.Options) { o.Strength, o.Scale = strength, 4 })
			written := memory{}
			_, err := classicmodels.WriteTruth(t.Context(), made, written.create)
			require.NoError(t, err)
			truth := records(t, written["truth/expected_ratings.csv"].String())
			ratings := rows(t, made)["ratings"]
			require.Len(t, truth, len(ratings))
			var affinities, stars, means []float64
			for i, row := range truth {
				require.Equal(t, ratings[i]["customerNumber"]+ratings[i]["productCode"],
					row["customerNumber"]+row["productCode"])
				affinities = append(affinities, number(t, row["affinity"]))
				means = append(means, number(t, row["expectedRating"]))
				stars = append(stars, number(t, ratings[i]["productRating"]))
			}
			assert.InDelta(t, expected, correlation(affinities, stars), 0.03)
			var surprise float64
			for i := range stars {
				surprise += (stars[i] - means[i]) / float64(len(stars))
			}
			assert.InDelta(t, 0, surprise, 0.04, "the expected ratings are the mean of the ratings")
		})
	}
}

func number(t testing.TB, text string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(text, 64)
	require.NoError(t, err)
	return value
}

// The three files of the truth agree: anybody can compute the affinity of any pair.
func TestAffinityIsTheSumOfItsParts(t *testing.T) {
	written := memory{}
	_, err := classicmodels.WriteTruth(t.Context(), shop(t, nil), written.create)
	require.NoError(t, err)
	tastes, traits := map[string]map[string]string{}, map[string]map[string]string{}
	for _, row := range records(t, written["truth/preferences.csv"].String()) {
		tastes[row["customerNumber"]] = row
	}
	for _, row := range records(t, written["truth/product_traits.csv"].String()) {
		traits[row["productCode"]] = row
	}
	for _, row := range records(t, written["truth/expected_ratings.csv"].String()) {
		taste, trait := tastes[row["customerNumber"]], traits[row["productCode"]]
		sum := number(t, taste[trait["productLine"]]) + number(t, taste[trait["productScale"]]) +
			number(t, taste["priceTaste"])*number(t, trait["priceLevel"])
		require.InDelta(t, sum, number(t, row["affinity"]), 0.005)
	}
}

// What the towers see is enough: without the truth, means over country group, line, scale and price
// predict new ratings.
func TestSignalCanBeLearnedFromTheFeatures(t *testing.T) {
	predictability := func(strength float64) float64 {
		made := shop(t, func(o *classicmodels.Options) { o.Strength, o.Scale = strength, 4 })
		all := rows(t, made)
		country, product := map[string]string{}, map[string]map[string]string{}
		for _, row := range all["customers"] {
			country[row["customerNumber"]] = strings.TrimSpace(row["country"])
		}
		for _, row := range all["products"] {
			product[row["productCode"]] = row
		}
		sums := map[string][2]float64{}
		var guesses, stars []float64
		for i, row := range all["ratings"] {
			key := country[row["customerNumber"]] + "/" + product[row["productCode"]]["productLine"]
			if rating := number(t, row["productRating"]); i%2 == 0 {
				sums[key] = [2]float64{sums[key][0] + rating, sums[key][1] + 1}
			} else if seen := sums[key]; seen[1] >= 5 {
				guesses, stars = append(guesses, seen[0]/seen[1]), append(stars, rating)
			}
		}
		require.Greater(t, len(stars), 2000)
		return correlation(guesses, stars)
	}
	assert.Greater(t, predictability(0.8), 0.4)
	assert.InDelta(t, 0, predictability(0), 0.05)
}

func TestAdvanceKeepsThePast(t *testing.T) {
	base, later := rows(t, shop(t, nil)), rows(t, shop(t, func(o *classicmodels.Options) { o.AdvanceDays = 60 }))
	for _, table := range []string{"offices", "employees", "productlines", "customers"} {
		assert.Equal(t, base[table], later[table])
	}
	for _, table := range []string{"orders", "orderdetails", "payments"} {
		require.Greater(t, len(later[table]), len(base[table]), table)
		assert.Equal(t, base[table], later[table][:len(base[table])], table)
	}
	changed := 0
	for i, row := range base["ratings"] {
		after := later["ratings"][i]
		assert.Equal(t, row["customerNumber"]+row["productCode"], after["customerNumber"]+after["productCode"])
		if !maps.Equal(row, after) {
			changed++
			assert.Greater(t, after["ratedAt"], "2005-06-01")
		}
	}
	assert.InDelta(t, 120, changed, 15, "two a day")
	assert.Greater(t, len(later["ratings"]), len(base["ratings"]))
	for _, order := range later["orders"][len(base["orders"]):] {
		assert.True(t, order["orderDate"] >= "2005-06-01" && order["orderDate"] <= "2005-07-30", order["orderDate"])
	}
}

// Every week brings a product that is ordered and takes away one that never was, of the sample
// first, then made for it.
func TestAdvanceLaunchesAndWithdrawsProducts(t *testing.T) {
	codes := func(days int, scale float64) (products, ordered map[string]int) {
		all := rows(t, shop(t, func(o *classicmodels.Options) { o.AdvanceDays, o.Scale = days, scale }))
		return distinct(all["products"], "productCode"), distinct(all["orderdetails"], "productCode")
	}
	for _, scale := range []float64{0.1, 1, 2.5} {
		t.Run(strconv.FormatFloat(scale, 'f', -1, 64), func(t *testing.T) {
			base, _ := codes(0, scale)
			blocks, sold := int(math.Ceil(scale)), 0
			before, _ := codes(0, scale)
			for week := 1; week <= 5; week++ {
				products, ordered := codes(7*week-6, scale)
				var fresh, gone, unsold []string
				for code := range products {
					if before[code] == 0 {
						fresh = append(fresh, code)
					}
					if ordered[code] == 0 {
						unsold = append(unsold, code)
					}
				}
				for code := range before {
					if products[code] == 0 {
						gone = append(gone, code)
						assert.Zero(t, ordered[code])
						assert.Equal(t, week <= blocks, base[code] > 0, "the sample's go first")
					}
				}
				assert.Len(t, gone, 1)
				assert.Len(t, fresh, map[bool]int{true: 2, false: 1}[week >= blocks])
				assert.NotEmpty(t, unsold, "one that can be withdrawn next")
				before = products
				assert.Len(t, rows(t, shop(t, func(o *classicmodels.Options) {
					o.AdvanceDays, o.Scale = 7*week,
						scale
				}))["products"], len(products))
			}
			products, ordered := codes(200, scale)
			for code := range products {
				sold += count(base[code] == 0 && ordered[code] > 0)
			}
			assert.Greater(t, sold, 10, "new products are ordered")
		})
	}
}

// Advancing in steps is advancing once by their sum.
func TestScanAdvanceIsTheDifference(t *testing.T) {
	for _, scale := range []float64{0.1, 1, 2.4} {
		advanced := func(days int) *classicmodels.Shop {
			return shop(t, func(o *classicmodels.Options) { o.Scale, o.AdvanceDays = scale, days })
		}
		merged := map[string]string{}
		require.NoError(t, advanced(0).Scan(t.Context(), keep(merged)))
		day := 0
		for _, step := range []int{1, 6, 1, 20, 2, 40} {
			day += step
			require.NoError(t, advanced(day).ScanAdvance(t.Context(), step, change(t, merged)))
			expected := map[string]string{}
			require.NoError(t, advanced(day).Scan(t.Context(), keep(expected)))
			require.Equal(t, expected, merged, "scale %v, day %d", scale, day)
		}
		assert.Error(t, advanced(day).ScanAdvance(t.Context(), day+1, change(t, merged)))
		assert.Error(t, advanced(day).ScanAdvance(t.Context(), 0, change(t, merged)))
	}
}

// change keeps changes and requires that what they replace is there as they say.
func change(t *testing.T, into map[string]string) func(classicmodels.Change) error {
	return func(change classicmodels.Change) error {
		found := map[string]string{}
		if change.Before != nil {
			require.NoError(t, keep(found)(change.Table, change.Before))
		} else {
			require.NoError(t, keep(found)(change.Table, change.After))
		}
		for key, text := range found {
			if change.Before == nil {
				require.NotContains(t, into, key)
			} else {
				require.Equal(t, text, into[key])
				delete(into, key)
			}
		}
		if change.After != nil {
			return keep(into)(change.Table, change.After)
		}
		return nil
	}
}

// On the days of a spike the shop sells several times the usual, and two days later it is over:
// each planted one, and the day after it where that has sales, is told from the 28 days with
// revenue before it by their median and three times their MAD.
func TestSpikesAreSeenInTheRevenueOfADay(t *testing.T) {
	for _, options := range []classicmodels.Options{
		{Seed: 1, Scale: 1, Strength: 0.8}, {Seed: 2, Scale: 1}, {Seed: 3, Scale: 1, AdvanceDays: 200},
		{Seed: 4, Scale: 1}, {Seed: 5, Scale: 12},
	} {
		t.Run(options.String(), func(t *testing.T) {
			made, written := shop(t, func(o *classicmodels.Options) { *o = options }), memory{}
			_, err := classicmodels.WriteTruth(t.Context(), made, written.create)
			require.NoError(t, err)
			spikes := records(t, written["truth/spikes.csv"].String())
			assert.InDelta(t, 10, len(spikes), 4)
			all := rows(t, made)
			order, revenue := map[string]map[string]string{}, map[string]float64{}
			for _, row := range all["orders"] {
				order[row["orderNumber"]] = row
			}
			for _, line := range all["orderdetails"] {
				if row := order[line["orderNumber"]]; row["status"] != "Cancelled" {
					revenue[row["orderDate"]] += number(t, line["quantityOrdered"]) * number(t, line["priceEach"])
				}
			}
			days := slices.Sorted(maps.Keys(revenue))
			isSpike := func(day string) bool {
				at := slices.Index(days, day)
				require.GreaterOrEqual(t, at, 28, day)
				var past, deviations []float64
				for _, before := range days[at-28 : at] {
					past = append(past, revenue[before])
				}
				middle := median(past)
				for _, amount := range past {
					deviations = append(deviations, math.Abs(amount-middle))
				}
				return revenue[day] > middle+3*median(deviations)
			}
			after := 0
			for _, spike := range spikes {
				assert.True(t, isSpike(spike["orderDate"]), spike["orderDate"])
				start, err := time.Parse(time.DateOnly, spike["orderDate"])
				require.NoError(t, err)
				next := start.AddDate(0, 0, 1).Format(time.DateOnly)
				after += count(revenue[next] > 0 && isSpike(next))
			}
			if options.Scale > 1 {
				assert.Greater(t, after, len(spikes)/2)
			}
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// keep puts rows into a map by table and primary key; later rows replace earlier ones.
func keep(into map[string]string) classicmodels.Visit {
	return func(table *classicmodels.Table, row []classicmodels.Value) error {
		key, text := table.Name, ""
		for _, column := range table.PrimaryKey {
			key += "/" + row[table.Index(column)].String()
		}
		for _, value := range row {
			text += value.String() + "|"
		}
		into[key] = text
		return nil
	}
}

func TestSeedsDiffer(t *testing.T) {
	one, two := rows(t, shop(t, nil)), rows(t, shop(t, func(o *classicmodels.Options) { o.Seed = 2 }))
	assert.NotEqual(t, one["customers"], two["customers"])
	assert.NotEqual(t, one["ratings"], two["ratings"])
}

func TestOptionsReportAllProblems(t *testing.T) {
	_, err := classicmodels.New(classicmodels.Options{Scale: 0.25, Strength: 1.5, AdvanceDays: -1})
	require.Error(t, err)
	for _, part := range []string{"scale 0.25", "strength 1.5", "advance -1"} {
		assert.ErrorContains(t, err, part)
	}
	for _, scale := range []float64{0, -1, 10_001, math.NaN(), math.Inf(1)} {
		_, err := classicmodels.New(classicmodels.Options{Scale: scale})
		assert.ErrorContains(t, err, "scale")
	}
}

func TestScanEndsWithTheVisitorsErrorAndTheContext(t *testing.T) {
	stop := errors.New("enough")
	visited := 0
	err := shop(t, nil).Scan(t.Context(), func(*classicmodels.Table, []classicmodels.Value) error {
		if visited++; visited == 200 {
			return stop
		}
		return nil
	})
	require.ErrorIs(t, err, stop)
	assert.Equal(t, 200, visited)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, shop(t, nil).Scan(ctx, func(*classicmodels.Table, []classicmodels.Value) error { return nil }),
		context.Canceled)
	assert.ErrorIs(t, shop(t, nil).ScanTraining(ctx,
		func(*classicmodels.Table, []classicmodels.Value) error { return nil }), context.Canceled)
}

func TestNamesAreUniqueAcrossTheScale(t *testing.T) {
	codes := map[string]bool{}
	for _, row := range rows(t, shop(t, func(o *classicmodels.Options) { o.Scale = 200 }))["products"] {
		assert.LessOrEqual(t, len(row["productCode"]), 15)
		codes[row["productCode"]] = true
	}
	assert.Len(t, codes, 22_000)
	assert.True(t, slices.IsSortedFunc(rows(t, shop(t, nil))["orders"], func(a, b map[string]string) int {
		return strings.Compare(a["orderDate"], b["orderDate"])
	}), "orders are in the order of their days")
}

// Customers come one after the other before one comes again, also those whom the database does not
// have; without the option activity is as it was.
func TestCustomersWhoComeMayBeMoreThanTheDatabaseHas(t *testing.T) {
	made, err := classicmodels.New(classicmodels.DefaultOptions())
	require.NoError(t, err)
	const customers = 1000
	events, err := made.Events(classicmodels.EventOptions{Sessions: 500, Customers: customers})
	require.NoError(t, err)
	sessions := map[string]int{}
	var order []int
	for event := range events {
		decoded, err := activity.Decode(event.Payload)
		require.NoError(t, err)
		if before, known := sessions[decoded.SessionID]; known {
			require.Equal(t, before, decoded.CustomerNumber)
			continue
		}
		sessions[decoded.SessionID] = decoded.CustomerNumber
		if order = append(order, decoded.CustomerNumber); len(order) == customers+10 {
			break
		}
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(order[:customers]))), customers)
	assert.Equal(t, order[:10], order[customers:])
	_, err = made.Events(classicmodels.EventOptions{Customers: -1})
	require.ErrorContains(t, err, "customers -1: allowed are 1 to 10000000, or 0")
}
