package handler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/inference"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/recommendation"
)

// someBatch has few customers, places and products, so that much of it was asked before, and carts
// of all sizes.
func someBatch(random *rand.Rand) inference.BatchRequest {
	request := inference.BatchRequest{Limit: []int{1, 5, rememberedLimit, rememberedLimit + 1}[random.IntN(4)]}
	request.SimilarLimit = []int{1, 5, rememberedLimit + 1}[random.IntN(3)]
	for range 1 + random.IntN(12) {
		codes := func(most int) (codes []string) {
			for _, i := range random.Perm(22)[:random.IntN(most+1)] { // two of them are unknown
				codes = append(codes, modelstoretest.Product(i))
			}
			return codes
		}
		asked := event(98+random.IntN(8), codes([]int{0, 3, spareItems + 1, 22}[random.IntN(4)]), nil)
		inCart := func(code string) bool { return slices.Contains(asked.Cart, code) }
		asked.Browsed = append([]string{}, slices.DeleteFunc(codes(8), inCart)...)
		asked.City = []string{"Nantes", " NANTES", "Lyon", ""}[random.IntN(4)]
		asked.CreditLimit = float64(random.IntN(3)) * 20_000
		request.Events = append(request.Events, asked)
	}
	return request
}

func TestAnswersAreTheSameWithMemoryAndWithoutAcrossModels(t *testing.T) {
	p := newPlatform(t)
	versions := []string{p.load(t, 1).Manifest.ModelVersion, p.load(t, 2).Manifest.ModelVersion}
	for seed := range uint64(2) {
		folder, manifest := towers(t, seed)
		p.loadTowers(t, folder, manifest)
		versions = append(versions, manifest.ModelVersion)
	}
	random := rand.New(rand.NewPCG(15, 7))
	remembered := 0
	for round := range 150 {
		if random.IntN(8) == 0 {
			_, err := p.owner.Activate(t.Context(), versions[random.IntN(len(versions))])
			require.NoError(t, err)
		}
		request := someBatch(random)
		got, err := p.ask(t, request)
		require.NoError(t, err)
		knowing := p.Engine.loaded()
		asked := knowing.unanswered(request, recommendation.Store)
		remembered += len(request.Events) - len(asked.users)
		forgetful := &platform{Handler: Handler{Engine: &Engine{
			Store: p.Engine.Store, Bucket: p.Engine.Bucket, Logger: p.Engine.Logger, RungTime: unhurried,
		}}}
		want, err := forgetful.ask(t, request)
		require.NoError(t, err)
		require.Equal(t, want, got, "round %d, from the store", round)

		blank := *knowing
		blank.answers = newAnswers(1)
		want, err = p.Engine.fromMemory(t.Context(), &blank, request)
		require.NoError(t, err)
		for range 2 {
			got, err = p.Engine.fromMemory(t.Context(), knowing, request)
			require.NoError(t, err)
			require.Equal(t, want, got, "round %d, from memory", round)
		}
	}
	assert.Positive(t, remembered)
}

// The breach that the test above would see: a memory that outlives its model.
func TestAMemoryOfAnotherModelIsSeen(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	request := inference.BatchRequest{Limit: 5, SimilarLimit: 5,
		Events: []inference.BatchEvent{event(100, nil, []string{"P_001"})}}
	_, err := p.ask(t, request)
	require.NoError(t, err)
	stale := p.Engine.loaded().answers
	p.load(t, 2)
	want, err := p.ask(t, request)
	require.NoError(t, err)
	p.Engine.loaded().answers = stale
	got, err := p.ask(t, request)
	require.NoError(t, err)
	assert.NotEqual(t, want, got)
}

func TestMemoryIsBounded(t *testing.T) {
	p := newPlatform(t)
	p.load(t, 1)
	most := room(leastMemory << 20).answers()
	request := inference.BatchRequest{Limit: 5, SimilarLimit: 5}
	for i := range most + 500 {
		request.Events = append(request.Events, event(100, nil, []string{fmt.Sprintf("unknown-%d", i)}))
		if len(request.Events) == inference.MaxEvents || i == most+499 {
			_, err := p.ask(t, request)
			require.NoError(t, err)
			request.Events = nil
		}
	}
	assert.Equal(t, most, p.Engine.loaded().answers.products.Len())
}
