// Package vectorloader is the contract of the vector loader's function: what operators and the
// state machine send, and what comes back. It does not know how any of it is done.
package vectorloader

import (
	"time"

	"diecast/internal/embeddings"
	"diecast/internal/refresh"
)

// The actions of a Request.
const (
	Status   = "status"
	Load     = "load"
	Refresh  = "refresh"
	Approve  = "approve"
	Reject   = "reject"
	Rollback = "rollback"
	Query    = "query"
)

// Request is what operators and the state machine send.
type Request struct {
	// Action is one of the constants.
	Action string `json:"action"`
	// ModelVersion names the model to load, approve or reject.
	ModelVersion string `json:"model_version,omitempty"`
	// Activate makes a load switch to its model at once; else that waits for approve.
	Activate bool `json:"activate,omitempty"`
	// Reason of a rejection.
	Reason string `json:"reason,omitempty"`
	// Statement to query with.
	Statement string `json:"statement,omitempty"`
	// Run is the one that a refresh must find published; empty for whichever is.
	Run string `json:"run,omitempty"`
	// Lake is the bucket that a refresh reads; empty for the one of the refresh before.
	Lake string `json:"lake,omitempty"`
	// By is who asks, in a few words, for the list of who switched when. Nobody checks it.
	By string `json:"by,omitempty"`
}

// MaxBy bounds Request.By.
const MaxBy = 100

// StatusAnswer answers Status and Reject; Load is answered by an embeddings.Loaded, Approve and
// Rollback by an embeddings.Active, Query by a sqlquery.Table.
type StatusAnswer struct {
	embeddings.Status
	// RunAgeHours is how long ago the run was made whose catalogue the active model has; nil where
	// no run is known, or only the one that the shipped model was trained on.
	RunAgeHours *int `json:"run_age_hours,omitempty"`
}

// AnswerOf adds to a status what depends on the time.
func AnswerOf(status embeddings.Status, now time.Time) StatusAnswer {
	answer := StatusAnswer{Status: status}
	active := status.Active
	if active == nil || active.RunCreatedAt == nil || active.Origin == embeddings.Shipped && active.Lake == "" {
		return answer
	}
	hours := max(0, int(now.Sub(*active.RunCreatedAt)/time.Hour))
	answer.RunAgeHours = &hours
	return answer
}

// Refreshed answers Refresh.
type Refreshed struct {
	// Version is the refreshed model, Base the one whose towers it has; Active is the model that is
	// active now.
	Version string `json:"model_version"`
	Base    string `json:"base_model_version"`
	Active  string `json:"active_version"`
	// New says that its embeddings were not in the store before.
	New bool `json:"new"`
	// RunID is the published run.
	RunID string `json:"run_id"`
	// Figures compare it with the run and with the model before.
	Figures refresh.Figures `json:"figures"`
	// LeftOut counts products and customers of the run that no vector could be made of; Reasons say
	// where the first of them stand and why.
	LeftOut int      `json:"left_out"`
	Reasons []string `json:"reasons,omitempty"`
	// Note says why the version is not active.
	Note string `json:"note,omitempty"`
}
