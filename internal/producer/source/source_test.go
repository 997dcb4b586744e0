package source

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/classicmodels"
)

func TestGeneratedEventsHappenWhenTheyAreDue(t *testing.T) {
	shop, err := classicmodels.New(classicmodels.DefaultOptions())
	require.NoError(t, err)
	broken := 0
	events, stop, err := Generated(shop, classicmodels.EventOptions{Seed: 3, BrokenShare: 0.5},
		func(event classicmodels.Event) {
			if event.Broken != "" {
				broken++
			}
		})
	require.NoError(t, err)
	defer stop()
	due, valid := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), 0
	for range 100 {
		due = due.Add(1500 * time.Millisecond)
		event, err := events(due)
		require.NoError(t, err)
		decoded, err := activity.Decode(event.Data)
		if err != nil {
			continue
		}
		valid++
		assert.Equal(t, due, decoded.Time)
		assert.Equal(t, event.Key, decoded.SessionID)
	}
	assert.Equal(t, 100-broken, valid)
	assert.InDelta(t, 50, broken, 20)

	_, _, err = Generated(shop, classicmodels.EventOptions{BrokenShare: 2}, nil)
	require.ErrorContains(t, err, "broken share 2")
}

func TestRecordedEventsAreAsTheyWere(t *testing.T) {
	line := `{"customer_number":1, "session_id":"s","city":"","country":"",` +
		`"credit_limit":0,"event_time":"2020-01-01T00:00:00Z"}`
	events, stop := Recorded("shop.jsonl", strings.NewReader(line+"\n\n"+line+"\n{}\n"))
	defer stop()
	for range 2 {
		event, err := events(time.Now())
		require.NoError(t, err)
		assert.Equal(t, line, string(event.Data))
		assert.Equal(t, "s", event.Key)
		require.True(t, json.Valid(event.Data))
	}
	_, err := events(time.Now())
	require.ErrorContains(t, err, "shop.jsonl: line 4: session_id: got nothing")
	_, err = events(time.Now())
	require.ErrorIs(t, err, io.EOF)
}
