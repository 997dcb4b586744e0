package sales

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func date(t testing.TB, text string) Day {
	t.Helper()
	day, err := ParseDay(text)
	require.NoError(t, err)
	return day
}

func small(t testing.TB) *Figures {
	t.Helper()
	return New(time.Time{}, []string{"Trains"},
		[]Product{{"C1", "Coupé", "Cars"}, {"C2", "Cabriolet", "Cars"}, {"S1", "Tug", "Ships"}},
		[]Item{
			{3, date(t, "2005-02-28"), "USA", "X9", 1, 1},
			{1, date(t, "2004-12-31"), "France", "C1", 2, 2001},
			{2, date(t, "2005-01-01"), "France", "C1", 1, 1000},
			{1, date(t, "2004-12-31"), "France", "C2", 1, 500},
			{1, date(t, "2004-12-31"), "France", "S1", 4, 100},
		}, []Spike{{date(t, "2004-12-31"), 2601, 700}})
}

func TestAnOrderIsCountedOnceInEverySum(t *testing.T) {
	report := small(t).Report(Filter{From: date(t, "2004-12-01"), To: date(t, "2005-02-28")})
	assert.Equal(t, Totals{3602, 3, 9}, report.Totals)
	assert.Equal(t, []Row{{"Cars", Totals{3501, 2, 4}}, {"Ships", Totals{100, 1, 4}}, {unknownLine, Totals{1, 1, 1}}},
		report.Lines)
	assert.Equal(t, []Row{{"France", Totals{3601, 2, 8}}, {"USA", Totals{1, 1, 1}}}, report.Countries)
	assert.Equal(t, "C1", report.Products[0].Code)
	assert.Equal(t, Totals{3001, 2, 3}, report.Products[0].Totals)
	assert.Equal(t, Product{"X9", "X9", unknownLine}, report.Products[3].Product)
}

func TestAFilterSelects(t *testing.T) {
	for name, c := range map[string]struct {
		filter Filter
		want   Totals
	}{
		"line":             {Filter{Line: "Ships"}, Totals{100, 1, 4}},
		"country":          {Filter{Country: "USA"}, Totals{1, 1, 1}},
		"both":             {Filter{Line: "Cars", Country: "USA"}, Totals{}},
		"a line unsold":    {Filter{Line: "Trains"}, Totals{}},
		"unknown line":     {Filter{Line: "Kites"}, Totals{}},
		"unknown country":  {Filter{Country: "Atlantis"}, Totals{}},
		"everything there": {Filter{}, Totals{3602, 3, 9}},
	} {
		c.filter.From, c.filter.To = date(t, "2004-12-01"), date(t, "2005-02-28")
		assert.Equal(t, c.want, small(t).Report(c.filter).Totals, name)
	}
	last := small(t).Report(Filter{From: date(t, "2005-01-01"), To: date(t, "2005-01-01")})
	assert.Equal(t, Totals{1000, 1, 1}, last.Totals, "both ends are in")
	none := small(t).Report(Filter{From: 1, To: 0})
	assert.Empty(t, none.Points)
	assert.Zero(t, none.Totals)
}

func TestThePeriodBeforeIsAsLong(t *testing.T) {
	report := small(t).Report(Filter{From: date(t, "2005-01-01"), To: date(t, "2005-01-01")})
	assert.Equal(t, &Totals{2601, 1, 7}, report.Before)
	report = small(t).Report(Filter{From: date(t, "2005-01-01"), To: date(t, "2005-01-01"), Line: "Ships"})
	assert.Equal(t, &Totals{100, 1, 4}, report.Before)
	assert.Nil(t, small(t).Report(Filter{From: date(t, "2005-01-01"), To: date(t, "2005-01-02")}).Before,
		"it would begin before the first order")
}

func TestPointsCoverThePeriodWithoutGaps(t *testing.T) {
	for _, c := range []struct {
		from, to string
		step     Step
		points   int
		second   string
	}{
		{"2004-02-01", "2004-03-01", Daily, 30, "2004-02-02"},
		{"2004-06-01", "2005-05-31", Weekly, 53, "2004-06-07"},
		{"2003-01-06", "2005-05-31", Monthly, 29, "2003-02-01"},
		{"2003-01-06", "2015-05-31", Yearly, 13, "2004-01-01"},
		{"1605-03-01", "2005-05-31", ByDecade, 41, "1610-01-01"},
		{"0001-01-01", "9999-12-31", ByCentury, 100, "0100-01-01"},
	} {
		points := points(Filter{From: date(t, c.from), To: date(t, c.to)}, stepOf(Filter{From: date(t, c.from),
			To: date(t, c.to)}))
		assert.Equal(t, c.step, stepOf(Filter{From: date(t, c.from), To: date(t, c.to)}))
		require.Len(t, points, c.points, c.from)
		assert.Equal(t, c.from, points[0].From.String())
		assert.Equal(t, c.second, points[1].From.String())
		assert.Equal(t, c.to, points[len(points)-1].To.String())
		for i := range points[1:] {
			require.Equal(t, points[i].To+1, points[i+1].From)
		}
	}
}

func TestSpikesStandWithTheirPoints(t *testing.T) {
	report := small(t).Report(Filter{From: date(t, "2004-12-30"), To: date(t, "2005-01-01")})
	assert.Len(t, report.Spikes, 1)
	assert.Empty(t, report.Points[0].Spikes)
	assert.Equal(t, report.Spikes, report.Points[1].Spikes)
	assert.Empty(t, small(t).Report(Filter{From: date(t, "2005-01-01"), To: date(t, "2005-01-02")}).Spikes)
}

func TestMoneyIsExact(t *testing.T) {
	for cents, want := range map[Cents]string{0: "0.00", 5: "0.05", -5: "-0.05", 123456: "1234.56", -10000: "-100.00",
		-9223372036854775808: "-92233720368547758.08"} {
		assert.Equal(t, want, cents.String())
	}
	for text, want := range map[string]Cents{"12": 1200, "12.3": 1230, "12.345": 1235, "12.344": 1234, "-0.05": -5,
		"70316.000000": 7031600} {
		cents, err := parseCents(text)
		require.NoError(t, err)
		assert.Equal(t, want, cents, text)
	}
	for _, text := range []string{"", "x", "1e5", "--1", "."} {
		_, err := parseCents(text)
		require.Error(t, err, text)
	}
	assert.Equal(t, Cents(34), Totals{Revenue: 67, Orders: 2}.AverageOrder())
	assert.Equal(t, Cents(-34), Totals{Revenue: -67, Orders: 2}.AverageOrder())
	assert.Zero(t, Totals{}.AverageOrder())
}

func TestDaysAreDates(t *testing.T) {
	for _, text := range []string{"1969-12-31", "1970-01-01", "2004-02-29", "0001-01-01", "9999-12-31"} {
		assert.Equal(t, text, date(t, text).String())
	}
	for _, text := range []string{"", "2005-02-30", "2005-1-1", "0000-01-01", "2005-01-01T00:00:00Z", "10000-01-01"} {
		_, err := ParseDay(text)
		require.Error(t, err, text)
	}
	assert.Equal(t, "2005-05-30", date(t, "2005-05-31").monday().String())
	assert.Equal(t, "2005-05-23", date(t, "2005-05-29").monday().String())
}

func TestAnEmptyShopHasNoSpan(t *testing.T) {
	_, _, sold := New(time.Time{}, nil, nil, nil, nil).Span()
	assert.False(t, sold)
}

func TestOrdersOfTheFutureAreNotTheLatest(t *testing.T) {
	noon := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		days   []string
		latest string
		later  int64
	}{
		"none":                 {[]string{"2005-05-31"}, "2005-05-31", 0},
		"today and tomorrow":   {[]string{"2026-03-01", "2026-03-02"}, "2026-03-02", 0},
		"the day after":        {[]string{"2026-03-01", "2026-03-03"}, "2026-03-01", 1},
		"two of the year 9999": {[]string{"2005-05-31", "9999-12-31", "9999-12-31"}, "2005-05-31", 2},
		"all":                  {[]string{"2030-01-01", "9999-12-31"}, "9999-12-31", 0},
	} {
		var items []Item
		for i, day := range c.days {
			items = append(items, Item{Order: int64(i + 1), Day: date(t, day)})
		}
		latest, later := New(noon, nil, nil, items, nil).Latest()
		assert.Equal(t, c.latest, latest.String(), name)
		assert.Equal(t, c.later, later, name)
	}
}

// A shop of scale 100 is added up within the time of a page.
func BenchmarkReport(b *testing.B) {
	for name, lines := range map[string]int{"scale 1": 3000, "scale 100": 300_000} {
		items := make([]Item, lines)
		for i := range items {
			items[i] = Item{int64(i / 9), Day(12000 + i/9*880/(lines/9+1)), "USA", string(rune('a' + i%26)), 3, 12345}
		}
		figures := New(time.Time{}, nil, nil, items, nil)
		first, last, _ := figures.Span()
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				figures.Report(Filter{From: first, To: last})
			}
		})
	}
}
