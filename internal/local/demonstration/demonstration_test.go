package demonstration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestPercentile_byNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	assert.EqualValues(t, 50, Percentile(hundred, 50))
	assert.EqualValues(t, 99, Percentile(hundred, 99))
	assert.EqualValues(t, 100, Percentile(hundred, 100))
	assert.EqualValues(t, 7, Percentile([]time.Duration{7}, 1))
	assert.Zero(t, Percentile(nil, 50))
	assert.EqualValues(t, 100, hundred[0], "the caller's order is kept")
}

func TestMissing_saysWhatIsNotAccountedFor(t *testing.T) {
	r := run{report: Report{Sent: 10, Broken: 2, Archived: 8, Delivered: 8, Refused: 2}}
	assert.NoError(t, r.missing())
	r.report.Delivered = 7
	assert.EqualError(t, r.missing(), "of 8 valid events 8 are archived and 7 delivered; of 2 broken ones 2 are in the error output")
}

func TestRun_refusesSenselessNumbers(t *testing.T) {
	for _, events := range []int{0, -1, 100_001} {
		_, err := Run(context.Background(), Target{}, Options{Events: events})
		assert.ErrorContains(t, err, "1 to 100,000 are allowed")
	}
}
