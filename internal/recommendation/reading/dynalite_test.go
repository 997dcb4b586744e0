package reading

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/dynalite"
	"diecast/internal/local/server/servertest"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row/rowtest"
)

// The laptop's own table, with the index as the stack declares it.
func TestTheLaptopsTableIsRead(t *testing.T) {
	servertest.Needed(t, "dynalite")
	engine, err := dynalite.Start(t.Context(), dynalite.Options{})
	require.NoError(t, err, "run `make setup`")
	t.Cleanup(func() { assert.NoError(t, engine.Stop(context.Background())) })
	client := engine.Client()
	const name = "recommendations"
	rowtest.Create(t, client, name)
	put := func(record recommendation.Record, keep time.Duration) { rowtest.Put(t, client, name, record, keep) }
	r := &Reader{Table: client, Name: name, Popular: popular}

	at := time.Now().Add(-time.Minute)
	var latest recommendation.Record
	for i := range 110 {
		latest = record(t, fmt.Sprintf("s%d", i), 1, i, at.Add(time.Duration(i)*time.Millisecond))
		put(latest, time.Hour)
	}
	put(record(t, "gone", 1, 500, at.Add(time.Second)), -time.Hour)
	answer, err := r.Session(t.Context(), "s109")
	requireAnswer(t, latest, answer, err)
	answer, err = r.Customer(t.Context(), 1)
	requireAnswer(t, latest, answer, err)
	for _, session := range []string{"gone", "nobody", `'"#:{}`} {
		answer, err = r.Session(t.Context(), session)
		requireStranger(t, answer, err)
	}
	answer, err = r.Customer(t.Context(), 2)
	requireStranger(t, answer, err)

	var sessions []string
	for i := range 110 {
		sessions = append(sessions, fmt.Sprintf("s%d", i))
	}
	rows, err := r.rows(t.Context(), sessions)
	require.NoError(t, err)
	assert.Len(t, rows, 110, "more than one call has room for")

	awaited := record(t, "s5", 1, 900, time.Now())
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		answer, reached, err := r.Wait(t.Context(), "s5", Awaited{ID: awaited.Event.ID, Time: awaited.Event.Time})
		assert.True(t, reached)
		requireAnswer(t, awaited, answer, err)
	}()
	put(awaited, time.Hour)
	<-waited
}
