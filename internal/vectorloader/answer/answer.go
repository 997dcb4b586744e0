// Package answer is what the vector loader's function answers to the actions of
// internal/vectorloader. Load is answered by an embeddings.Loaded, Approve and Rollback by an
// embeddings.Active, Query by a sqlquery.Table. It does not know how any of it came about.
package answer

import (
	"time"

	"diecast/internal/embeddings"
	"diecast/internal/refresh"
)

// Status answers the actions Status and Reject.
type Status struct {
	embeddings.Status
	// RunAgeHours is how long ago the run was made whose catalogue the active model has; nil where
	// no run is known, or only the one that the shipped model was trained on.
	RunAgeHours *int `json:"run_age_hours,omitempty"`
}

// StatusOf adds to a status what depends on the time.
func StatusOf(status embeddings.Status, now time.Time) Status {
	told := Status{Status: status}
	active := status.Active
	if active == nil || active.RunCreatedAt == nil || active.Origin == embeddings.Shipped && active.Lake == "" {
		return told
	}
	hours := max(0, int(now.Sub(*active.RunCreatedAt)/time.Hour))
	told.RunAgeHours = &hours
	return told
}

// Refreshed answers the action Refresh.
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
