package server

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"diecast/internal/sales"
)

func TestChangesAreInTenthsOfAPerCentRounded(t *testing.T) {
	for _, c := range []struct {
		now, before, tenths int64
		known               bool
	}{
		{110, 100, 100, true}, {100, 100, 0, true}, {90, 100, -100, true}, {0, 100, -1000, true}, {3, 2, 500, true},
		{2, 3, -333, true}, {1000, 3, 332_333, true},
		{10_005, 10_000, 1, true}, {10_004, 10_000, 0, true}, {9995, 10_000, -1, true}, {9996, 10_000, 0, true},
		{5, 0, 0, false}, {0, 0, 0, false}, {5, -1, 0, false},
		{math.MaxInt64 / 1000, 1, math.MaxInt64/1000*1000 - 1000, true},
	} {
		tenths, known := change(c.now, c.before)
		assert.Equal(t, c.known, known, "%d after %d", c.now, c.before)
		assert.Equal(t, c.tenths, tenths, "%d after %d", c.now, c.before)
	}
}

func TestSharesAreInPerCentWithTheirSign(t *testing.T) {
	for _, c := range []struct {
		part, whole sales.Cents
		words       string
	}{
		{1, 3, "33.3 %"}, {2, 3, "66.7 %"}, {100, 100, "100.0 %"}, {0, 100, "0.0 %"}, {1, 2000, "0.1 %"},
		{1, 2001, "0.0 %"}, {-1, 100, "−1.0 %"}, {-3, 1000, "−0.3 %"}, {-1, 2001, "0.0 %"}, {250, 100, "250.0 %"},
		{1, 0, ""}, {1, -5, ""},
	} {
		assert.Equal(t, c.words, share(c.part, c.whole), "%d of %d", c.part, c.whole)
	}
}

func TestATimeOfOneDayIsOneDay(t *testing.T) {
	assert.Equal(t, "24 Nov 2004", span(date(t, "2004-11-24"), date(t, "2004-11-24")))
	assert.Equal(t, "24 Nov 2004 to 25 Nov 2004", span(date(t, "2004-11-24"), date(t, "2004-11-25")))
}

func TestNoCellIsAFormula(t *testing.T) {
	for text, written := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1",
		"": "", "Tug": "Tug", "1=1": "1=1", "'=1": "'=1",
	} {
		assert.Equal(t, written, cell(text), "%q", text)
	}
}
