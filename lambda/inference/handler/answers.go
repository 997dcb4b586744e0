package handler

import (
	lru "github.com/hashicorp/golang-lru/v2"

	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/recommendation"
)

const (
	// rememberedLimit is up to how many items an answer is remembered; the stream's consumers ask
	// for five.
	rememberedLimit = 20
	// spareItems are asked for beyond the limit and remembered with the others: so many products in
	// a cart can be left out, and enough stay.
	spareItems = 5
	// rememberedItems bounds those of one answer.
	rememberedItems = rememberedLimit + spareItems
)

// answers are what one model answered before: a product's neighbours depend on the model alone, and
// a user's nearest items on the model and the user's features. The least recently used make room.
type answers struct {
	users    *lru.Cache[userQuestion, []recommendation.Item]
	products *lru.Cache[productQuestion, []recommendation.Neighbour]
}

// userQuestion asks for the items nearest to a user, whatever the cart. Rungs are kept apart: their
// measures may differ in the last digit.
type userQuestion struct {
	rung  recommendation.Rung
	limit int
	// The features are the user's where the model has towers, else customer is.
	city, country string
	creditLimit   float64
	customer      int
}

// productQuestion asks for the neighbours of a product; those of one that the model does not know
// are nil.
type productQuestion struct {
	rung  recommendation.Rung
	limit int
	code  string
}

// newAnswers remembers so many answers of each kind, at least one.
func newAnswers(most int) *answers {
	users, usersErr := lru.New[userQuestion, []recommendation.Item](most)
	products, productsErr := lru.New[productQuestion, []recommendation.Neighbour](most)
	if usersErr != nil || productsErr != nil {
		panic("newAnswers: most is below one")
	}
	return &answers{users, products}
}

// question is what is asked about an event's user, and whether the answer is remembered: not where
// a large cart or a large limit would leave too few of the items that are. Places are taken as they
// are spelt, so that no more is done for an answer that is known.
func (m *model) question(event inference.BatchEvent, rung recommendation.Rung, limit int) (asked userQuestion,
	remembered bool) {
	asked = userQuestion{rung: rung, limit: limit}
	if m.tower != nil {
		asked.city, asked.country, asked.creditLimit = event.City, event.Country, event.CreditLimit
	} else {
		asked.customer = event.CustomerNumber
	}
	return asked, limit <= rememberedLimit && len(event.Cart) <= spareItems
}

func recommended(items []embeddings.Item) []recommendation.Item {
	list := make([]recommendation.Item, len(items))
	for i, item := range items {
		list[i] = recommendation.Item{ID: item.ID, Score: item.Score}
	}
	return list
}

func neighbours(items []embeddings.Item) []recommendation.Neighbour {
	list := make([]recommendation.Neighbour, len(items))
	for i, item := range items {
		list[i] = recommendation.Neighbour{ID: item.ID, Distance: 1 - item.Score}
	}
	return list
}
