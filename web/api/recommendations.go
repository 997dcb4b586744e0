package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"diecast/internal/environment"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/reading"
	"diecast/web/guest"
)

// recommendations as shops get them: of the event only which it is, nothing of the person.
type recommendations struct {
	Items        []recommendation.Item    `json:"recommended_items"`
	Similar      []recommendation.Similar `json:"similar_items"`
	ModelVersion string                   `json:"model_version"`
	Rung         string                   `json:"rung"`
	Degraded     bool                     `json:"degraded"`
	EventID      string                   `json:"event_id,omitempty"`
	EventTime    string                   `json:"event_time,omitempty"`
	At           string                   `json:"recommended_at"`
	Stranger     bool                     `json:"stranger"`
}

// timeLayout is that of recommendation records.
const timeLayout = "2006-01-02T15:04:05.000Z"

func tell(found reading.Answer) recommendations {
	told := recommendations{
		Items: append([]recommendation.Item{}, found.Items...), Similar: []recommendation.Similar{},
		ModelVersion: found.ModelVersion, Rung: found.Rung.String(), Degraded: found.Rung.Degraded(),
		At: found.RecommendedAt.UTC().Format(timeLayout), Stranger: found.Event == nil,
	}
	for _, similar := range found.Similar {
		similar.Items = append([]recommendation.Neighbour{}, similar.Items...)
		told.Similar = append(told.Similar, similar)
	}
	if found.Event != nil {
		told.EventID = found.Event.ID.String()
		told.EventTime = found.Event.Time.UTC().Format(time.RFC3339Nano)
	}
	return told
}

const (
	recommendationsAway = "Recommendations cannot be read at the moment."
	idsVary             = sessionHeader + ", " + customerHeader
)

func (a *API) recommendations(r *request) (*answer, *problem) {
	session, ofSession := r.session()
	customer, ofCustomer := r.customer()
	switch {
	case ofSession && ofCustomer:
		r.refuse("header", customerHeader, "it is there beside "+sessionHeader+"; one of both is allowed")
	case !ofSession && !ofCustomer:
		r.refuse("header", sessionHeader, "it is missing, and so is "+customerHeader+"; one of both is needed")
	}
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	var (
		found reading.Answer
		err   error
	)
	if ofSession {
		found, err = a.options.Recommendations.Session(r.ctx, session)
	} else {
		found, err = a.options.Recommendations.Customer(r.ctx, customer)
	}
	if err != nil {
		return nil, a.away(r, err, recommendationsAway)
	}
	told := tell(found)
	same := told
	if told.Stranger {
		same.At = "" // it is now, at each request
	}
	return &answer{content: told, same: same, cache: "private, no-cache", vary: idsVary}, nil
}

// waitSlack is for the last reading of a wait. Together with the wait it is shorter than a server
// lets an answer take.
const waitSlack = 3 * time.Second

// errDraining ends a wait of a server that ends.
var errDraining = errors.New("the server ends")

func (a *API) wait(r *request) (*answer, *problem) {
	session, there := r.session()
	if !there {
		r.refuse("header", sessionHeader, "it is missing; the session whose event is waited for is needed")
	}
	id, at := r.event()
	if refused := r.problem(); refused != nil {
		return nil, refused
	}
	if a.options.Access == environment.APIRandom {
		who := guest.Address(r.Request)
		if !a.waits.Enter(who) {
			return nil, &problem{Status: http.StatusTooManyRequests, Reason: "rate_limited", RetryAfter: time.Second,
				Detail: "As many wait from this address as may."}
		}
		defer a.waits.Leave(who)
	}
	bounded, end := context.WithTimeout(r.ctx, reading.Longest+waitSlack)
	defer end()
	ctx, cancel := context.WithCancelCause(bounded)
	defer cancel(nil)
	defer context.AfterFunc(a.draining, func() { cancel(errDraining) })()
	found, reached, err := a.options.Recommendations.Wait(ctx, session, reading.Awaited{ID: id, Time: at})
	var full *reading.BusyError
	switch {
	case errors.As(err, &full):
		return nil, busy("As many wait as may.", full.RetryAfter)
	case err != nil && errors.Is(context.Cause(ctx), errDraining):
		return nil, &problem{Status: http.StatusServiceUnavailable, Reason: "draining", RetryAfter: time.Second,
			Detail: "This server ends. Another one answers."}
	case err != nil:
		return nil, a.away(r, err, recommendationsAway)
	}
	content := struct {
		recommendations
		Reached bool `json:"reached"`
	}{tell(found), reached}
	return &answer{content: content, unmarked: true, cache: "no-store", vary: idsVary}, nil
}
