package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/strictjson"
	"diecast/web/guest"
)

// The headers that say for whom and for what: ids of people are in no address, which is logged on
// its way.
const (
	sessionHeader   = guest.SessionHeader
	customerHeader  = guest.CustomerHeader
	eventHeader     = "Diecast-Event"
	eventTimeHeader = "Diecast-Event-Time"
)

// request is one that is understood part by part: what cannot be is gathered in wrong, so that all
// is told at once.
type request struct {
	*http.Request
	route *route
	ctx   context.Context
	// code is the path's part in braces.
	code   string
	values url.Values
	wrong  []wrong
}

// wrong is a part of a request that cannot be understood.
type wrong struct {
	// In is path, query or header; Name is the parameter's.
	In     string `json:"in"`
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

func newRequest(r *http.Request, route *route, code string) *request {
	asked := &request{Request: r, route: route, ctx: r.Context(), code: code, values: url.Values{}}
	if r.URL.RawQuery == "" {
		return asked
	}
	for part := range strings.SplitSeq(r.URL.RawQuery, "&") {
		values, err := url.ParseQuery(part)
		if err != nil {
			asked.refuse("query", strictjson.Shown(part, true), "it is no part that an address can have")
		}
		for name, value := range values {
			if !slices.Contains(route.query, name) {
				asked.refuse("query", name, "it is unknown here; "+known(route.query))
				continue
			}
			asked.values[name] = append(asked.values[name], value...)
		}
	}
	for _, name := range route.query {
		if count := len(asked.values[name]); count > 1 {
			asked.refuse("query", name, fmt.Sprintf("it is there %d times; once is allowed", count))
		}
	}
	return asked
}

func known(names []string) string {
	if len(names) == 0 {
		return "there are no parameters"
	}
	return "allowed are " + strings.Join(names, ", ")
}

func (r *request) refuse(in, name, detail string) {
	r.wrong = append(r.wrong, wrong{in, name, detail})
}

// query is a parameter's first value.
func (r *request) query(name string) (value string, there bool) {
	all := r.values[name]
	if len(all) == 0 {
		return "", false
	}
	return all[0], true
}

// one header's value. An empty one is there, too.
func (r *request) one(name string) (value string, there bool) {
	all := r.Header.Values(name)
	if len(all) == 0 {
		return "", false
	}
	if len(all) > 1 {
		r.refuse("header", name, fmt.Sprintf("it is there %d times; once is allowed", len(all)))
	}
	return all[0], true
}

var (
	wholePattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)
)

// whole number from least to most.
func (r *request) whole(in, name, text string, least, most int) int {
	number, err := strconv.Atoi(text)
	if err != nil || !wholePattern.MatchString(text) || number < least || number > most {
		r.refuse(in, name, fmt.Sprintf("got %s, want a whole number from %d to %d", strictjson.Shown(text, true),
			least, most))
		return 0
	}
	return number
}

// limit of a page.
func (r *request) limit(byDefault, most int) int {
	text, there := r.query("limit")
	if !there {
		return byDefault
	}
	return r.whole("query", "limit", text, 1, most)
}

// after is the id of the last item of the page before; empty for the first page.
func (r *request) after() string {
	text, there := r.query("after")
	if there && text == "" {
		r.refuse("query", "after", "got nothing, want the id of the last item of the page before")
	}
	return text
}

// session that is asked for; empty where none is, or it cannot be one.
func (r *request) session() (id string, there bool) {
	text, there := r.one(sessionHeader)
	if !there {
		return "", false
	}
	r.violations(sessionHeader, activity.CheckSessionID(text))
	return text, true
}

// customer that is asked for.
func (r *request) customer() (number int, there bool) {
	text, there := r.one(customerHeader)
	if !there {
		return 0, false
	}
	return r.whole("header", customerHeader, text, 0, activity.MaxCustomerNumber), true
}

// event that is waited for, with its time where that is known.
func (r *request) event() (id uuid.UUID, at time.Time) {
	if text, there := r.one(eventHeader); there {
		r.contract(eventHeader, text, func(field strictjson.Value) { id = field.UUID() })
	} else {
		r.refuse("header", eventHeader, "it is missing; the id of the event whose answer is waited for is needed")
	}
	if text, there := r.one(eventTimeHeader); there {
		r.contract(eventTimeHeader, text, func(field strictjson.Value) { at = field.Time() })
	}
	return id, at
}

// contract reads a header as the events' contract reads a field.
func (r *request) contract(name, text string, read func(strictjson.Value)) {
	value := strictjson.String(strings.ToValidUTF8(text, "�"))
	object := strictjson.Object([]strictjson.Member{{Name: name, Value: value}})
	document, err := strictjson.Parse(object, strictjson.Limits{MaxBytes: len(object), MaxDepth: 1})
	if err == nil {
		read(document.Root().Field(name))
		err = document.Err()
	}
	r.violations(name, err)
}

func (r *request) violations(header string, err error) {
	var refused *activity.Error
	switch {
	case err == nil:
	case errors.As(err, &refused):
		for _, violation := range refused.Violations {
			r.refuse("header", header, "got "+violation.Value+", want "+violation.Allowed)
		}
	default:
		r.refuse("header", header, err.Error())
	}
}

// problem is nil where all was understood.
func (r *request) problem() *problem {
	if len(r.wrong) == 0 {
		return nil
	}
	return &problem{Status: http.StatusBadRequest, Reason: "invalid_request",
		Detail: "The request cannot be understood; errors says why.", Errors: r.wrong}
}

// unescaped is a part of a path; where it is wrongly encoded, as it is.
func unescaped(part string) string {
	if text, err := url.PathUnescape(part); err == nil {
		return text
	}
	return part
}
