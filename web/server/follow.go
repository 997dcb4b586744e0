package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/strictjson"
	"diecast/web/guest"
	"diecast/web/live"
)

// Answers reads what was recommended; *reading.Reader is one.
type Answers interface {
	Session(ctx context.Context, session string) (recommendation.Answer, error)
	Customer(ctx context.Context, customer int) (recommendation.Answer, error)
	// Newer and NewerOfCustomer wait for an answer that is later than what was seen.
	Newer(ctx context.Context, session string, than recommendation.Place) (recommendation.Answer, error)
	NewerOfCustomer(ctx context.Context, customer int, than recommendation.Place) (recommendation.Answer, error)
	// Since are a customer's sessions whose latest event is not before a moment.
	Since(ctx context.Context, customer int, moment time.Time) (map[string]time.Time, error)
}

const (
	// readTimeout of a first answer.
	readTimeout = 5 * time.Second
	// firstAgain is how long a store that is away is left alone; it doubles up to lastAgain.
	firstAgain, lastAgain = time.Second, 8 * time.Second
)

// asked is who is asked for: a session, a customer or nobody.
type asked struct {
	session  string
	customer int
	kind     string
}

// The kinds of asked.
const (
	aSession  = "session"
	aCustomer = "customer"
	nobody    = ""
)

// askedIn a request's headers. The error is for people.
func askedIn(r *http.Request) (asked, error) {
	sessions, customers := r.Header.Values(guest.SessionHeader), r.Header.Values(guest.CustomerHeader)
	switch {
	case len(sessions)+len(customers) == 0:
		return asked{}, nil
	case len(sessions)+len(customers) > 1:
		return asked{}, errors.New("choose one customer or one session")
	case len(sessions) == 1:
		if err := activity.CheckSessionID(sessions[0]); err != nil {
			return asked{}, fmt.Errorf("no session can be called so: 1 to %d visible ASCII characters without spaces"+
				" are allowed", activity.MaxSessionID)
		}
		return asked{session: sessions[0], kind: aSession}, nil
	}
	number, err := strconv.Atoi(customers[0])
	if err != nil || number < 0 || number > activity.MaxCustomerNumber || strings.HasPrefix(customers[0], "+") {
		return asked{}, fmt.Errorf("no customer can have this number: whole numbers from 0 to %d are allowed",
			activity.MaxCustomerNumber)
	}
	return asked{customer: number, kind: aCustomer}, nil
}

func (s *Server) answer(ctx context.Context, who asked) (recommendation.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if who.kind == aCustomer {
		return s.options.Answers.Customer(ctx, who.customer)
	}
	return s.options.Answers.Session(ctx, who.session)
}

func (s *Server) newer(ctx context.Context, who asked, than recommendation.Place) (recommendation.Answer, error) {
	if who.kind == aCustomer {
		return s.options.Answers.NewerOfCustomer(ctx, who.customer, than)
	}
	return s.options.Answers.Newer(ctx, who.session, than)
}

// line of a stream.
type line struct {
	// Show is what parts of the page become, by their id.
	Show map[string]string `json:"show,omitempty"`
	// Said tells who does not see the page what has changed.
	Said string `json:"said,omitempty"`
	// Event is the one that is answered.
	Event string `json:"event,omitempty"`
}

// follow tells a stream what is recommended to somebody, at once and with each change. draw makes a
// line of an answer, away of a store that cannot be read, beside what else there is to tell; both
// may be false for nothing. It is asked beside every step.
func (s *Server) follow(stream *live.Stream, who asked, step time.Duration,
	draw func(recommendation.Answer) line, away func() line, beside func() (line, bool)) {
	var (
		seen   recommendation.Place
		read   bool
		failed int
	)
	for stream.Err() == nil {
		if told, any := beside(); any {
			if stream.Send(told) != nil {
				return
			}
		}
		var (
			answer recommendation.Answer
			err    error
		)
		switch {
		case who.kind == nobody:
			err = stream.Wait(step, untilEnd)
		case !read:
			answer, err = s.answer(stream, who)
		default:
			err = stream.Wait(step, func(ctx context.Context) error {
				answer, err = s.newer(ctx, who, seen)
				return err
			})
		}
		switch {
		case err == nil:
			if stream.Send(draw(answer)) != nil {
				return
			}
			seen, read, failed = answer.Place(), true, 0
		case stream.Err() != nil:
			return
		case errors.Is(err, context.DeadlineExceeded) && (read || who.kind == nobody): // nothing has changed
		default:
			if failed++; failed == 1 {
				s.options.Logger.Error("recommendations cannot be read", "error", strictjson.WithoutValues(err))
				if stream.Send(away()) != nil {
					return
				}
			}
			read = false
			_ = stream.Wait(min(firstAgain<<min(failed-1, 10), lastAgain), untilEnd)
		}
	}
}

func untilEnd(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// fragment of a page.
func fragment(name string, data any) string {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		panic(fmt.Sprintf("template %s: %v", name, err)) // a fault of ours, which tests find
	}
	return out.String()
}
