package server

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"diecast/internal/catalogue"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/pulse"
	"diecast/web/chart"
	"diecast/web/live"
)

// mostOffered customers in the list to choose from; any number may be written.
const mostOffered = 500

// recommendations is the page; what it shows comes by watchRecommendations.
func (s *Server) recommendations(w http.ResponseWriter, r *http.Request) {
	s.script(w)
	html(w)
	content := struct {
		Customers []int
		Most      int
	}{Most: 1<<31 - 1}
	if shop := s.options.Catalogue().Held; shop != nil {
		content.Customers = shop.Sample(mostOffered)
	}
	newBody(render("recommendations.html", page{Title: "Recommendations", Section: "recommendations", basis: s.basis(),
		Content: content})).write(w, r, http.StatusOK)
}

// watchRecommendations tells what is recommended to whom the headers name, and how the shop's pulse
// beats.
func (s *Server) watchRecommendations(w http.ResponseWriter, r *http.Request) {
	who, err := askedIn(r)
	if err != nil {
		http.Error(w, err.Error()+".", http.StatusBadRequest)
		return
	}
	s.watching.Serve(w, r, func(stream *live.Stream) {
		defer s.pulse.Watch()()
		var last *pulse.State
		s.follow(stream, who, pulse.Every/2,
			func(answer recommendation.Answer) line {
				v := show(who, answer, s.options.Catalogue().Held)
				told := line{Show: map[string]string{"answer": fragment("answer", v)}}
				told.Said = fmt.Sprintf("%s: recommended products: %d.", v.Title, len(v.Items))
				return told
			},
			func() line { return line{Show: map[string]string{"answer": fragment("away", "recommendations")}} },
			func() (line, bool) {
				state := s.pulse.State()
				if state == nil || state == last {
					return line{}, false
				}
				last = state
				if state.Err != nil {
					s.unread.Do(func() { s.options.Logger.Warn("the shop's pulse is not whole", "error", state.Err) })
				}
				return line{Show: map[string]string{"pulse": s.drawn.of(state, s.options.Catalogue().Held)}}, true
			})
	})
}

// drawing of the pulse, once for all who watch.
type drawing struct{ latest atomic.Pointer[drawn] }

type drawn struct {
	state *pulse.State
	html  string
}

func (d *drawing) of(state *pulse.State, shop *catalogue.Catalogue) string {
	if latest := d.latest.Load(); latest != nil && latest.state == state {
		return latest.html
	}
	made := &drawn{state, fragment("pulse", newPulse(state, shop))}
	d.latest.Store(made)
	return made.html
}

// shownPulse is the pulse as the page shows it.
type shownPulse struct {
	Chart any
	// Busy are the intervals with sessions, the latest first.
	Busy              []pulseRow
	Note              string
	Recent            []pulseSighting
	Customers, Unread int
}

type pulseRow struct {
	At       string
	Sessions int
}

type pulseSighting struct {
	Session, Short string
	Customer       int
	At             moment
	Clock          string
}

// pulseHeight is that of its scale, in pixels.
const pulseHeight = 96

func newPulse(state *pulse.State, shop *catalogue.Catalogue) shownPulse {
	v := shownPulse{Customers: state.Customers, Unread: state.Unread}
	drawn := chart.Chart{ID: "pulse-chart", Title: "Active sessions every two seconds", Axis: short}
	most, sum := 0, 0
	for i, one := range state.Intervals {
		at, ago := one.From.UTC().Format("15:04:05"), time.Duration(len(state.Intervals)-1-i)*pulse.Every
		drawn.Marks = append(drawn.Marks, chart.Mark{Label: fmt.Sprintf("−%.0f", ago.Seconds()),
			Value: int64(one.Sessions), Words: at + ": " + sessions(one.Sessions)})
		if one.Sessions > 0 {
			v.Busy = append([]pulseRow{{at, one.Sessions}}, v.Busy...)
		}
		most, sum = max(most, one.Sessions), sum+one.Sessions
	}
	drawn.Description = fmt.Sprintf("At most %s in two seconds of the last two minutes.", sessions(most))
	v.Chart = drawn.Columns(pulseHeight)
	of := fmt.Sprint(state.Customers, " customers")
	if shop != nil {
		of = fmt.Sprintf("a sample of %s of the shop’s %s customers", count(int64(state.Customers)),
			count(int64(shop.Customers())))
	}
	v.Note = "Sessions whose latest event fell into each two seconds, so many seconds ago, of " + of +
		". Times are UTC."
	for _, one := range state.Recent {
		short := one.Session
		if len(short) > 8 {
			short = short[:8] + "…"
		}
		v.Recent = append(v.Recent, pulseSighting{one.Session, short, one.Customer, moment(one.At),
			one.At.UTC().Format("15:04:05")})
	}
	return v
}

func sessions(n int) string {
	if n == 1 {
		return "1 session"
	}
	return count(int64(n)) + " sessions"
}
