package handler

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/models"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/recommendation"
)

// sameButRung compares two answers of different rungs, whose measures may differ in the last digit;
// so do the items where some are equally near.
func sameButRung(t *testing.T, want, got inference.BatchAnswer, ties bool) {
	t.Helper()
	require.Equal(t, want.ModelVersion, got.ModelVersion)
	require.Len(t, got.Results, len(want.Results))
	for i, result := range want.Results {
		require.Len(t, got.Results[i].Items, len(result.Items))
		for j, item := range result.Items {
			require.True(t, ties || item.ID == got.Results[i].Items[j].ID)
			require.InDelta(t, item.Score, got.Results[i].Items[j].Score, 1e-6)
		}
	}
	require.ElementsMatch(t, keys(want.Similar), keys(got.Similar))
	for code, similar := range want.Similar {
		require.Len(t, got.Similar[code], len(similar))
		for j, neighbour := range similar {
			require.True(t, ties || neighbour.ID == got.Similar[code][j].ID)
			require.InDelta(t, neighbour.Distance, got.Similar[code][j].Distance, 1e-6)
		}
	}
}

func TestStoreThatIsDownLeavesMemoryWithTheSameAnswers(t *testing.T) {
	for name, load := range map[string]func(*platform){
		"embeddings only": func(p *platform) { p.load(t, 1) },
		"towers": func(p *platform) {
			folder, manifest := towers(t, 1)
			p.loadTowers(t, folder, manifest)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t)
			load(p)
			request := inference.BatchRequest{Limit: 4, SimilarLimit: 3, Events: []inference.BatchEvent{
				event(100, []string{"P_001"}, []string{"P_002", "unknown"}),
				event(103, []string{"P_000", "P_003", "P_004", "P_005", "P_006", "P_007", "P_008"}, nil),
			}}
			want, err := p.ask(t, request)
			require.NoError(t, err)
			assert.Equal(t, []recommendation.Rung{recommendation.Store, recommendation.Store}, rungs(want))
			p.reading.Close()
			for range 3 {
				got, err := p.ask(t, request)
				require.NoError(t, err)
				assert.Equal(t, []recommendation.Rung{recommendation.Memory, recommendation.Memory}, rungs(got))
				sameButRung(t, want, got, name == "towers")
			}
		})
	}
}

// A customer whom the model does not know is answered by popularity from either rung.
func TestUnknownCustomersOfAModelWithoutTowersGetTheMostPopularFromMemory(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := inference.BatchRequest{Limit: 4,
		Events: []inference.BatchEvent{event(100, nil, nil), event(9, nil, nil)}}
	_, err := p.ask(t, request)
	require.NoError(t, err)
	p.reading.Close()
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, []recommendation.Rung{recommendation.Memory, recommendation.Popular}, rungs(answer))
}

func TestASilentStoreIsWaitedForOnceAndTriedAgain(t *testing.T) {
	p, network := distant(t)
	request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}}
	ask := func() (recommendation.Rung, time.Duration) {
		started := time.Now()
		answer, err := p.ask(t, request)
		require.NoError(t, err)
		return answer.Results[0].Rung, time.Since(started)
	}
	rung, _ := ask()
	require.Equal(t, recommendation.Store, rung)
	p.Engine.RungTime = 0 // as in production
	network.Block()
	rung, took := ask()
	assert.Equal(t, recommendation.Memory, rung)
	assert.Less(t, took, batchTime+slack)
	assert.GreaterOrEqual(t, took, batchTime)
	p.Engine.absence.until = time.Now().Add(time.Hour) // however slow the machine is
	for range 20 {
		rung, took = ask()
		assert.Equal(t, recommendation.Memory, rung)
		assert.Less(t, took, batchTime, "it is not waited for again")
	}
	p.Engine.absence.until = time.Now()
	rung, took = ask()
	assert.Equal(t, recommendation.Memory, rung, "it was tried again")
	assert.GreaterOrEqual(t, took, batchTime)
}

func TestAStoreIsUsedAgainAfterThePause(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}}
	want, err := p.ask(t, request)
	require.NoError(t, err)
	p.Engine.absence.until = time.Now().Add(time.Hour)
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, recommendation.Memory, answer.Results[0].Rung)
	p.Engine.absence.until = time.Now()
	answer, err = p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, want, answer)
	assert.Zero(t, p.Engine.absence.until)
}

func TestOneTriesAStoreThatWasAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a absence
		assert.True(t, a.mayAsk())
		assert.True(t, a.mayAsk(), "a store that answers is asked by all")
		a.note(false)
		assert.False(t, a.mayAsk())
		time.Sleep(pause - 1)
		assert.False(t, a.mayAsk())
		time.Sleep(time.Nanosecond)
		assert.True(t, a.mayAsk())
		assert.False(t, a.mayAsk(), "one tries it")
		a.note(false)
		assert.False(t, a.mayAsk(), "another pause")
		time.Sleep(pause)
		assert.True(t, a.mayAsk())
		a.note(true)
		assert.True(t, a.mayAsk())
	})
}

// slowObjects hold back what is read of one model until they are let go.
type slowObjects struct {
	*modelstoretest.Objects
	mutex   sync.Mutex
	version string
	let     chan struct{}
}

func (s *slowObjects) GetObject(ctx context.Context, input *s3.GetObjectInput,
	options ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	s.mutex.Lock()
	held := *input.Key == models.Key(s.version, artifacts.ItemEmbeddings)
	s.mutex.Unlock()
	if held {
		select {
		case <-s.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s.Objects.GetObject(ctx, input, options...)
}

// The one before answers, and says so, while a new model is read; the reading goes on.
func TestTheModelBeforeAnswersWhileTheNewOneIsRead(t *testing.T) {
	p := newPlatform(t)
	objects := &slowObjects{Objects: p.objects, let: make(chan struct{})}
	p.Engine.Bucket.Client = objects
	first := p.load(t, 1).Manifest.ModelVersion
	request := inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(100, nil, nil)}}
	_, err := p.ask(t, request)
	require.NoError(t, err)
	second := p.load(t, 2).Manifest.ModelVersion
	objects.mutex.Lock()
	objects.version = second
	objects.mutex.Unlock()
	p.Engine.RungTime = 0 // as in production
	started := time.Now()
	answer, err := p.ask(t, request)
	require.NoError(t, err)
	assert.Less(t, time.Since(started), batchTime+slack)
	assert.Equal(t, first, answer.ModelVersion)
	assert.Equal(t, recommendation.Memory, answer.Results[0].Rung)
	close(objects.let)
	p.Engine.RungTime, p.Engine.absence.until = unhurried, time.Time{}
	answer, err = p.ask(t, request)
	require.NoError(t, err)
	assert.Equal(t, second, answer.ModelVersion)
	assert.Equal(t, recommendation.Store, answer.Results[0].Rung)
}

func TestExactSearchEndsWithItsTime(t *testing.T) {
	items := map[string]embeddings.Vector{}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		vector := make(embeddings.Vector, models.Dimension)
		vector[random.IntN(len(vector))] = 1
		items[modelstoretest.Product(i)] = vector
	}
	exact := embeddings.NewExact(len(items), func(yield func(string, embeddings.Vector) bool) {
		for id, vector := range items {
			yield(id, vector)
		}
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("too late"))
	_, err := exact.Nearest(ctx, embeddings.Query{Products: []string{"P_001"}, ItemsPerProduct: 1})
	require.ErrorIs(t, err, context.Canceled)
}

// patient ends a search after so many looks at its context.
type patient struct {
	context.Context
	looks *int
}

func (p patient) Err() error {
	if *p.looks--; *p.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// A catalogue so large that no batch of new questions is answered in its time is, in the end.
func TestWhatWasFoundInTimeIsRemembered(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := inference.BatchRequest{Limit: 5, SimilarLimit: 5, Events: []inference.BatchEvent{
		event(100, nil, []string{"P_001", "P_002"}), event(101, nil, []string{"P_003", "unknown"}),
	}}
	_, err := p.ask(t, request)
	require.NoError(t, err)
	current := p.Engine.loaded()
	ask := func(looks int) (inference.BatchAnswer, error) {
		return current.answer(patient{t.Context(), &looks}, request, recommendation.Memory, current.items,
			storedUsers(current.users))
	}
	for range 2 { // six questions, two at a time, then the last two
		_, err := ask(2)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	got, err := ask(2)
	require.NoError(t, err)
	current.answers = newAnswers(10)
	want, err := ask(100)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

func TestCatalogueBeyondTheMemoryIsLeftWhereItLies(t *testing.T) {
	objects := modelstoretest.New()
	folder, manifest := modelstoretest.Embeddings(t, 1, 20, 5, artifacts.Trained)
	version := objects.Put(t, folder, manifest)
	for memory, fits := range map[room]bool{
		leastMemory << 20: true, 20 * 4 * 4 * room(embeddings.ExactBytes(longestID)): true,
		20*4*4*room(embeddings.ExactBytes(longestID)) - 1: false,
	} {
		loaded, err := loadModel(t.Context(), objects.Bucket(), version, memory)
		require.NoError(t, err)
		assert.Equal(t, fits, loaded.items != nil, "%d bytes", memory)
		assert.True(t, loaded.users != nil, "there are fewer of them")
	}
	objects.Change(version, artifacts.ItemEmbeddings, []byte("id,embedding\n"))
	_, err := loadModel(t.Context(), objects.Bucket(), version, leastMemory<<20)
	require.ErrorContains(t, err, "item_embeddings.csv: sha256 is")
}

// What is kept by the arithmetic is less than half of the memory, at every size.
func TestMemoryIsSharedOut(t *testing.T) {
	for _, memory := range []room{128 << 20, 512 << 20, 1024 << 20, 10240 << 20} {
		vectors := memory.vectors() * vectorKinds * modelsAtOnce * embeddings.ExactBytes(longestID)
		answers := memory.answers() * 2 * modelsAtOnce * answerBytes
		assert.Less(t, vectors+answers, int(memory)*2/5, "%d MiB", memory>>20)
		assert.LessOrEqual(t, memory.vectors(), 100_000)
	}
	assert.Equal(t, 100_000, room(512<<20).vectors(), "as many as promised, at the default size")
}
