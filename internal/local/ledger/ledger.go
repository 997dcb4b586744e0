// Package ledger is the account of a run's records: what became of those that a stream accepted,
// consumer by consumer, and whether that adds up. A run writes it while it is up, so that others
// can read it. The package does not know who counts, or what a record is.
package ledger

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"diecast/internal/local/runfolder"
)

// File in a run's folder, while the run is up. Its owner alone may read it.
const File = "account.json"

// Account of a run.
type Account struct {
	// At is when it was drawn up.
	At time.Time `json:"at"`
	// Closed says that the consumers had ended: nothing is under way any more.
	Closed    bool       `json:"closed"`
	Consumers []Consumer `json:"consumers"`
	Engines   []Engine   `json:"engines"`
	// Unknown is what could not be counted, and why.
	Unknown []string `json:"unknown,omitempty"`
}

// Consumer of a stream, and the records that it was to have. Each is in one of the places, or
// pending.
type Consumer struct {
	// Name is that of the resource, Kind what it is.
	Name   string `json:"consumer"`
	Kind   string `json:"kind"`
	Stream string `json:"stream"`
	// Accepted are the records that the stream took since the consumer began; Split are those
	// beyond the first in aggregates that the consumer took apart.
	Accepted int `json:"accepted"`
	Split    int `json:"split"`
	// Archived are in the archive, Delivered were handled by a function.
	Archived  int `json:"archived"`
	Delivered int `json:"delivered"`
	// Dropped were passed over by a function.
	Dropped int `json:"dropped"`
	// Discarded are in the destination of failures, by the condition on which they were given up;
	// InError are in the error output, by the error code that stands there.
	Discarded map[string]int `json:"discarded"`
	InError   map[string]int `json:"in_error"`
	// GivenUp are in no place: what should have kept them could not be written to.
	GivenUp int `json:"given_up"`
	// Pending are all others: in the stream, or under way.
	Pending int `json:"pending"`
	// Waiting is what they wait for, where that is more than their turn.
	Waiting string `json:"waiting,omitempty"`
	// Repeated is how often the function was asked again for the same records. What it passed over
	// it may have counted as often.
	Repeated int `json:"repeated,omitempty"`
}

// MarshalJSON gives an empty object where there are no reasons: null is no count.
func (c Consumer) MarshalJSON() ([]byte, error) {
	type plain Consumer
	for _, counts := range []*map[string]int{&c.Discarded, &c.InError} {
		if *counts == nil {
			*counts = map[string]int{}
		}
	}
	return json.Marshal(plain(c))
}

// Engine is a program that holds what is stored, in its memory.
type Engine struct {
	Name string `json:"engine"`
	// Memory that it takes, and the Limit from which on it refuses to store more, in bytes.
	Memory int64 `json:"memory_bytes"`
	Limit  int64 `json:"memory_limit_bytes"`
}

// Nearly says that an engine is close to its limit.
func (e Engine) Nearly() bool { return e.Memory > e.Limit/4*3 }

// Sum of counts by reason.
func Sum(counts map[string]int) int {
	sum := 0
	for _, count := range counts {
		sum += count
	}
	return sum
}

// Settled are the records that have come to their place.
func (c Consumer) Settled() int {
	return c.Archived + c.Delivered + c.Dropped + Sum(c.Discarded) + Sum(c.InError) + c.GivenUp
}

// Weigh has the others of the accepted records pend.
func (c *Consumer) Weigh() { c.Pending = c.Accepted + c.Split - c.Settled() }

// Problems are why the account does not add up, in words; none where it does.
func (a Account) Problems() []string {
	problems := append([]string{}, a.Unknown...)
	for _, c := range a.Consumers {
		switch in, out := c.Accepted+c.Split, c.Settled()+c.Pending; {
		case in != out:
			problems = append(problems, fmt.Sprintf("%s: %d records went in, and %d are accounted for", c.Name, in,
				out))
		case c.Pending < 0:
			problems = append(problems, fmt.Sprintf("%s: %d more records came out than went in", c.Name, -c.Pending))
		case c.Pending > 0 && a.Closed:
			problems = append(problems, fmt.Sprintf("%s: %d records were still in the stream or under way at the end",
				c.Name, c.Pending))
		}
		if c.GivenUp > 0 {
			problems = append(problems, fmt.Sprintf("%s: %d records are lost: what should have kept them could not be "+
				"written to", c.Name, c.GivenUp))
		}
	}
	return problems
}

// Write replaces the account in a run's folder, in one step.
func (a Account) Write(folder string) error {
	if a.Consumers == nil {
		a.Consumers = []Consumer{}
	}
	if a.Engines == nil {
		a.Engines = []Engine{}
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return runfolder.WriteFile(filepath.Join(folder, File), append(text, '\n'))
}

// Read the account in a run's folder; nil where the run has written none.
func Read(folder string) (*Account, error) {
	return runfolder.ReadJSON[Account](filepath.Join(folder, File))
}
