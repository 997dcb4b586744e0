package recommendation

import (
	"slices"
	"time"

	"diecast/internal/activity"
)

// Ranking is a model's list of its most popular products.
type Ranking struct {
	ModelVersion string
	// Items are best first; see the popularity of the artifacts' manifest.
	Items []Item
}

// NotInCart are the first limit of the ranked items that are not in the cart: what is in the cart
// is never recommended.
func NotInCart(ranked []Item, cart []string, limit int) []Item {
	items := make([]Item, 0, max(0, min(limit, len(ranked))))
	for _, item := range ranked {
		if len(items) >= limit {
			break
		}
		if !slices.Contains(cart, item.ID) {
			items = append(items, item)
		}
	}
	return items
}

// MostPopular is the degraded record that answers an event when the model cannot: the most popular
// products, and no similar ones.
func MostPopular(event activity.Event, ranking Ranking, limit int, at time.Time) Record {
	return Record{
		Event:         event,
		Items:         NotInCart(ranking.Items, event.Cart(), limit),
		ModelVersion:  ranking.ModelVersion,
		Rung:          Popular,
		RecommendedAt: at,
	}
}
