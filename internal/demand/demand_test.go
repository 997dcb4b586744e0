package demand

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASpikeRisesWithinHoursAndDecaysOverTwoDays(t *testing.T) {
	spike := Spike(10, SpikeLasts) // in the shop's own time
	assert.InDelta(t, 10, spike.At(0), 1e-9)
	assert.InDelta(t, 10, spike.At(4*time.Hour), 1e-9)
	assert.InDelta(t, 30, spike.At(5*time.Hour), 1e-9)
	assert.InDelta(t, 50, spike.At(6*time.Hour), 1e-9)
	assert.InDelta(t, 30, spike.At(22*time.Hour), 1e-9)
	assert.InDelta(t, 15, spike.At(54*time.Hour), 1e-9)
}

// What is due by a time is the sum of the demand until then, however the spike is compressed.
func TestWhatIsDueIsTheDemandSummedUp(t *testing.T) {
	for _, profile := range []Profile{
		Steady(40, 20*time.Second), Spike(40, 20*time.Second), Spike(3, time.Hour),
		{Rate: 7, Duration: 5 * time.Second, Compressed: 3600},
	} {
		const steps = 100_000
		step, sum := profile.Duration/steps, 0.0
		for n := range steps {
			sum += profile.At(time.Duration(n)*step+step/2) * step.Seconds()
		}
		assert.InEpsilon(t, sum, profile.By(profile.Duration), 1e-4, "%+v", profile)
	}
}

func TestEventsAreDueInTheirOrderAndAllWithinTheProfile(t *testing.T) {
	for _, profile := range []Profile{Steady(1000, time.Second), Spike(200, time.Second)} {
		last := time.Duration(-1)
		for n := range profile.Events() {
			due := profile.Due(n)
			require.Greater(t, due, last)
			require.LessOrEqual(t, due, profile.Duration)
			assert.InDelta(t, float64(n), profile.By(due), 0.01)
			last = due
		}
		assert.Greater(t, profile.Due(profile.Events()+1), profile.Duration)
	}
}

func TestLastingFitsTheEventsIn(t *testing.T) {
	for _, profile := range []Profile{Steady(100, time.Second), Spike(30, time.Second)} {
		lasting := profile.Lasting(1500)
		assert.InDelta(t, 1500, lasting.By(lasting.Duration), 0.01)
	}
	assert.InDelta(t, 19.4, Spike(30, time.Second).Lasting(1500).Duration.Seconds(), 0.1)
}

func TestCheckNamesEveryProblem(t *testing.T) {
	err := Profile{Rate: 0, Duration: -1, Compressed: 0.5}.Check()
	assert.ErrorContains(t, err, "rate 0: above 0, and up to 100000 events a second, is allowed")
	assert.ErrorContains(t, err, "duration -1ns: above 0s, and up to 72h0m0s, is allowed")
	assert.ErrorContains(t, err, "compressed 0.5 times: 1 to 1,000,000,000 is allowed")
	assert.ErrorContains(t, Steady(100_000, 72*time.Hour).Check(), "at most 1000000000 are allowed")
	assert.NoError(t, Spike(30, time.Minute).Check())
}
