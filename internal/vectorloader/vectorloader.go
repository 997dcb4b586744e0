// Package vectorloader says what operators, stacks and the state machine send to the vector
// loader's function; what comes back is internal/vectorloader/answer's. It does not know how any of
// it is done, and imports nothing, so that stacks may name an action.
package vectorloader

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

// Types of the errors of a refresh that the state machine tells apart, as Lambda names them; every
// other error is one of a refresh that failed.
const (
	// NothingToRefresh is that of a store without an active model, or whose active one has no
	// towers.
	NothingToRefresh = "NothingToRefreshError"
	// LimitsBroken is that of a refresh that stopped before the switch.
	LimitsBroken = "LimitsBrokenError"
)

// MaxBy bounds Request.By.
const MaxBy = 100
