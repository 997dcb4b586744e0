package templates

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// alarmsOn are the alarms of an assembly that watch a metric, by id.
func alarmsOn(built assembly, metric string) map[string]resource {
	found := map[string]resource{}
	for id, r := range built.all {
		if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["MetricName"] == metric {
			found[id] = r
		}
	}
	return found
}

// TestVectors_alarmsWhenTheStoreOutgrowsItsSearch: the loader counts when it has worked, and the
// alarm stays as it is until it counts again.
func TestVectors_alarmsWhenTheStoreOutgrowsItsSearch(t *testing.T) {
	for _, profile := range profiles {
		alarms := alarmsOn(synth(t, "profile="+profile), "unindexed_items")
		assert.Len(t, alarms, 1)
		for id, r := range alarms {
			assert.True(t, strings.HasPrefix(id, "Vectors/"), id)
			assert.Equal(t, "Diecast", r.Properties["Namespace"])
			assert.JSONEq(t, `[{"Name":"function","Value":"vectorloader"}]`,
				string(compact(r.Properties["Dimensions"])))
			assert.Equal(t, "GreaterThanThreshold", r.Properties["ComparisonOperator"])
			assert.EqualValues(t, 10_000, r.Properties["Threshold"])
			assert.Equal(t, "ignore", r.Properties["TreatMissingData"])
		}
	}
}

// TestDatabases_alarmOnWhatBurstsCost: a burstable instance of RDS is not slowed down without
// credits, and has none when it is new.
func TestDatabases_alarmOnWhatBurstsCost(t *testing.T) {
	for profile, want := range map[string]int{"lean": 2, "standard": 2, "course": 2, "prod": 0} {
		built := synth(t, "profile="+profile)
		alarms := alarmsOn(built, "CPUSurplusCreditsCharged")
		assert.Len(t, alarms, want, profile)
		for id, r := range alarms {
			assert.Equal(t, "GreaterThanThreshold", r.Properties["ComparisonOperator"], id)
			assert.EqualValues(t, 0, r.Properties["Threshold"], id)
			assert.Contains(t, fmt.Sprint(r.Properties["AlarmDescription"]), "is charged", id)
		}
		assert.Empty(t, alarmsOn(built, "CPUCreditBalance"))
	}
}
