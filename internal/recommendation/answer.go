package recommendation

import (
	"time"

	"diecast/internal/activity"
)

// Answer is what a shop shows: the latest of who asks, or what a stranger gets.
type Answer struct {
	Items        []Item
	Similar      []Similar
	ModelVersion string
	// Rung is Popular also where nothing is known of who asks.
	Rung Rung
	// Event is the one that is answered; nil where nothing is known of who asks.
	Event *activity.Event
	// RecommendedAt is when the record was made, or now where there is none.
	RecommendedAt time.Time
}

// Place in the order of records; the zero Place where nothing is known of who asks.
func (a Answer) Place() Place {
	if a.Event == nil {
		return Place{}
	}
	return Place{Time: a.Event.Time, ID: a.Event.ID, Answered: !a.Rung.Degraded()}
}
