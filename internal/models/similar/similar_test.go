package similar

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/embeddings"
	"diecast/internal/recommendation"
)

// store has one product, P, and answers as embeddings.Store does.
type store struct {
	version string
	// next is the model that it switches to at each question.
	next         func() string
	err          error
	asked, found int
	hold         chan struct{}
}

func (s *store) Active(context.Context) (embeddings.Active, error) {
	s.asked++
	if s.version == "" {
		return embeddings.Active{}, embeddings.ErrNoActiveModel
	}
	return embeddings.Active{Version: s.version}, s.err
}

func (s *store) Nearest(ctx context.Context, query embeddings.Query) (embeddings.Neighbours, error) {
	s.found++
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return embeddings.Neighbours{}, ctx.Err()
		}
	}
	if s.next != nil {
		s.version = s.next()
	}
	if s.err != nil {
		return embeddings.Neighbours{}, s.err
	}
	if query.Version != s.version {
		return embeddings.Neighbours{}, &embeddings.MovedError{Asked: query.Version, Active: s.version}
	}
	if query.ItemsPerProduct != Most || len(query.Users) != 0 || len(query.Products) != 1 {
		return embeddings.Neighbours{}, fmt.Errorf("query %+v", query)
	}
	found := embeddings.Neighbours{Products: map[string][]embeddings.Item{}}
	if query.Products[0] == "P" {
		found.Products["P"] = []embeddings.Item{{ID: "Q", Score: 0.75}, {ID: "R", Score: -0.5}}
	}
	return found, nil
}

func of(version string) Answer {
	return Answer{version, []recommendation.Neighbour{{ID: "Q", Distance: 0.25}, {ID: "R", Distance: 1.5}}}
}

func TestAProductIsAskedForOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{version: "one"}
		p := New(s)
		for range 3 {
			answer, err := p.Similar(t.Context(), "P")
			require.NoError(t, err)
			assert.Equal(t, of("one"), answer)
		}
		assert.Equal(t, []int{1, 1}, []int{s.asked, s.found})
		answer, err := p.Similar(t.Context(), "unknown")
		require.NoError(t, err)
		assert.Equal(t, Answer{ModelVersion: "one"}, answer)

		s.version = "two"
		time.Sleep(fresh - 1)
		answer, err = p.Similar(t.Context(), "P")
		require.NoError(t, err)
		assert.Equal(t, of("one"), answer)
		time.Sleep(time.Nanosecond)
		answer, err = p.Similar(t.Context(), "P")
		require.NoError(t, err)
		assert.Equal(t, of("two"), answer, "the store itself tells that it has moved on")
		assert.Equal(t, 1, s.asked)
		assert.Equal(t, 4, s.found)
	})
}

func TestFailuresAreToldAndNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		p := New(s)
		_, err := p.Similar(t.Context(), "P")
		require.ErrorIs(t, err, embeddings.ErrNoActiveModel)
		s.version, s.err = "one", errors.New("away")
		_, err = p.Similar(t.Context(), "P")
		require.ErrorIs(t, err, s.err)
		s.err = nil
		answer, err := p.Similar(t.Context(), "P")
		require.NoError(t, err)
		assert.Equal(t, of("one"), answer)

		restless := 0
		s.next = func() string {
			restless++
			return fmt.Sprint("model ", restless)
		}
		_, err = p.Similar(t.Context(), "Q")
		require.ErrorContains(t, err, "switched models 3 times")
		assert.Equal(t, moves, restless)
	})
}

func TestAllWhoAskShareOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{version: "one", hold: make(chan struct{})}
		p := New(s)
		leaving, leave := context.WithCancel(t.Context())
		left, stayed := make(chan error, 1), make(chan Answer, 1)
		go func() {
			_, err := p.Similar(leaving, "P")
			left <- err
		}()
		synctest.Wait()
		go func() {
			answer, err := p.Similar(t.Context(), "P")
			assert.NoError(t, err)
			stayed <- answer
		}()
		synctest.Wait()
		leave()
		require.ErrorIs(t, <-left, context.Canceled)
		s.hold <- struct{}{}
		assert.Equal(t, of("one"), <-stayed)
		assert.Equal(t, 1, s.found)

		begin := time.Now()
		_, err := p.Similar(t.Context(), "R")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, longest, time.Since(begin))
	})
}
