package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/catalogue"
	"diecast/internal/picture"
	"diecast/internal/recommendation"
	"diecast/web/guest"
	"diecast/web/live"
)

// Shop is the page that behaves like the sales platform.
type Shop struct {
	// Put takes an event on, the session being its partition key. An error means that it may not
	// have been taken, and that it may be sent again.
	Put func(ctx context.Context, session string, event []byte) error
	// PerMinute bounds the events of a session; an address has ten times as many.
	PerMinute int
}

const (
	// partHeader asks for a part of a page instead of the page, and says that an answer is one.
	partHeader = "Diecast-Part"
	// onePage of products.
	onePage = 24
	// putTimeout is how long the stream of events may take.
	putTimeout = 3 * time.Second
	// addressShare is how many sessions' events an address may send.
	addressShare = 10
	// FirstGuest is the first of the numbers that the shop's page gives to visitors without a
	// customer number, so that they do not all share one; a shop numbers its customers from 1 on.
	FirstGuest = 1_500_000_000
	// mostOfOne address's streams at a time, where the world is admitted: else one client could
	// take the places of all.
	mostOfOne = 100
	// mostBytes of an event are what WAF takes: a hundred products. With as many as the contract
	// allows, one address would fill a shard of the shop's stream.
	mostBytes = 8 << 10
	// mostStrips of similar products.
	mostStrips = 3
)

// goods are the catalogue's part of the page.
type goods struct {
	Lines       []goodsLine
	Line, Words string
	Products    []product
	Found       int
	// First and Last of those shown; Earlier and Later are the addresses of more.
	First, Last    int
	Earlier, Later string
	// Product is the one that is looked at; nil where there is a list.
	Product *product
	// Back leads to the list.
	Back string
	// Problem says what of the address cannot be understood; Away why there is no catalogue.
	Problem, Away string
}

type goodsLine struct {
	Name, Address string
	Products      int
	Chosen        bool
}

// shopQuery is the address of the shop with a part of the catalogue.
func shopQuery(line, words string, pageNumber int) string {
	values := url.Values{}
	for name, value := range map[string]string{"line": line, "q": words} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if pageNumber > 1 {
		values.Set("page", strconv.Itoa(pageNumber))
	}
	if len(values) == 0 {
		return "/shop"
	}
	return "/shop?" + values.Encode()
}

// readGoods understands an address of the shop.
func readGoods(query url.Values, state picture.State[catalogue.Catalogue]) (g goods, status int) {
	g.Line, g.Words = strings.TrimSpace(query.Get("line")), strings.TrimSpace(query.Get("q"))
	shop := state.Held
	if shop == nil {
		g.Away = "The server has just started and is reading the catalogue."
		if state.Failed != nil {
			g.Away = "It cannot be read: " + catalogueReason(state.Failed) + ". The server goes on trying."
		}
		return g, http.StatusServiceUnavailable
	}
	status = http.StatusOK
	problem := func(format string, arguments ...any) {
		g.Problem, status = fmt.Sprintf(format, arguments...), http.StatusNotFound
	}
	g.Lines = []goodsLine{{Name: "Everything", Address: shopQuery("", g.Words, 1), Products: shop.Len()}}
	for _, one := range shop.Lines() {
		g.Lines = append(g.Lines,
			goodsLine{one.Name, shopQuery(one.Name, g.Words, 1), one.Products, one.Name == g.Line})
	}
	if g.Line != "" && !slices.ContainsFunc(g.Lines[1:], func(l goodsLine) bool { return l.Chosen }) {
		problem("The shop has no line %s.", quoted(g.Line))
		g.Line = ""
	}
	g.Lines[0].Chosen = g.Line == ""
	if code := query.Get("product"); code != "" {
		if found, known := shop.Find(code); known {
			looked := sold(found)
			g.Product, g.Back = &looked, shopQuery(found.Line, "", 1)
			return g, status
		}
		problem("The shop does not sell %s.", quoted(code))
	}
	number := 1
	if text := query.Get("page"); text != "" {
		var err error
		if number, err = strconv.Atoi(text); err != nil || number < 1 || number > catalogue.MaxProducts {
			problem("There is no page %s.", quoted(text))
			number = 1
		}
	}
	skip := (number - 1) * onePage
	products, found := shop.Search(g.Line, g.Words, skip, onePage)
	for _, one := range products {
		g.Products = append(g.Products, sold(one))
	}
	g.Found, g.First, g.Last = found, skip+1, skip+len(products)
	if number > 1 {
		g.Earlier = shopQuery(g.Line, g.Words, number-1)
	}
	if g.Last < found {
		g.Later = shopQuery(g.Line, g.Words, number+1)
	}
	return g, status
}

// catalogueReason is why the catalogue was not read, in words that give nothing of the inside away.
func catalogueReason(err error) string {
	for _, known := range []error{
		picture.ErrUnreachable, picture.ErrRefused, picture.ErrTooSlow, catalogue.ErrTooMany,
	} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the database did not answer as it should"
}

// browse is the shop's page, or the catalogue's part of it.
func (s *Server) browse(w http.ResponseWriter, r *http.Request) {
	if wait := s.looks.Take(guest.Address(r), s.options.Now()); wait > 0 {
		w.Header().Set("Retry-After", guest.RetryAfter(wait))
		s.problem(w, http.StatusTooManyRequests, "That is too often",
			"So many requests for the shop come from your address that the next one has to wait for a moment.")
		return
	}
	s.script(w)
	html(w)
	g, status := readGoods(r.URL.Query(), s.options.Catalogue())
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.Header().Set("Vary", partHeader)
	if r.Header.Get(partHeader) == "catalogue" {
		w.Header().Set(partHeader, "catalogue")
		newBody([]byte(fragment("catalogue", g))).write(w, r, status)
		return
	}
	content := struct {
		goods
		// Numbered says whether a visitor may say that they are a customer.
		Numbered   bool
		FirstGuest int
		LastNumber int
	}{g, !s.options.Withhold, FirstGuest, FirstGuest - 1}
	newBody(render("shop.html", page{Title: "Shop", Section: "shop", basis: s.basis(), Content: content})).
		write(w, r, status)
}

// strip is what is recommended, as the shop shows it.
type strip struct {
	Title, Sentence string
	Items           []product
	Similar         []stripSimilar
	Model           string
}

type stripSimilar struct {
	product
	InCart bool
	Items  []product
}

func newStrip(answer recommendation.Answer, shop *catalogue.Catalogue) strip {
	v := strip{Title: "Recommended for you", Model: answer.ModelVersion}
	switch {
	case answer.Event == nil:
		v.Title, v.Sentence = "Most popular",
			"You are new here, so these are what most people like. Look at something, and this changes."
	case answer.Rung.Degraded():
		v.Title, v.Sentence = "Most popular", "The model did not answer in time, so these are what most people like."
	default:
		v.Sentence = "What customers " + visitor(*answer.Event) + ", take."
	}
	for _, item := range answer.Items {
		v.Items = append(v.Items, productOf(shop, item.ID))
	}
	// What was looked at comes first: the cart is what one has made up one's mind about.
	ordered := slices.Clone(answer.Similar)
	slices.SortStableFunc(ordered, func(a, b recommendation.Similar) int {
		return btoi(inCart(answer, a.ProductCode)) - btoi(inCart(answer, b.ProductCode))
	})
	for _, similar := range ordered {
		if len(v.Similar) == mostStrips || len(similar.Items) == 0 {
			continue
		}
		one := stripSimilar{product: productOf(shop, similar.ProductCode), InCart: inCart(answer, similar.ProductCode)}
		for _, neighbour := range similar.Items[:min(len(similar.Items), 4)] {
			one.Items = append(one.Items, productOf(shop, neighbour.ID))
		}
		v.Similar = append(v.Similar, one)
	}
	return v
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// watchShop tells a visitor what is recommended to their own session: one whose id nobody can
// guess.
func (s *Server) watchShop(w http.ResponseWriter, r *http.Request) {
	session := r.Header.Get(guest.SessionHeader)
	if len(r.Header.Values(guest.SessionHeader)) != 1 || !guest.Unguessable(session) {
		http.Error(w, "A session of this shop is a random UUID (version 4) in small letters.", http.StatusNotFound)
		return
	}
	if wait := s.addresses.Take(guest.Address(r), s.options.Now()); wait > 0 {
		tooMany(w, wait)
		return
	}
	if !s.places.Enter(guest.Address(r)) {
		tooMany(w, time.Second)
		return
	}
	defer s.places.Leave(guest.Address(r))
	s.visiting.Serve(w, r, func(stream *live.Stream) {
		s.follow(stream, asked{session: session, kind: aSession}, live.Beat,
			func(answer recommendation.Answer) line {
				v := newStrip(answer, s.options.Catalogue().Held)
				told := line{Show: map[string]string{
					"recommended": fragment("recommended", v), "because": fragment("because", v)}}
				var names []string
				for _, one := range v.Items {
					names = append(names, one.Name)
				}
				told.Said = v.Title + ": " + strings.Join(names, ", ")
				if answer.Event != nil {
					told.Event = answer.Event.ID.String()
				}
				return told
			},
			func() line { return line{Show: map[string]string{"recommended": fragment("away", "shop")}} },
			func() (line, bool) { return line{}, false })
	})
}

// problemJSON is an error by RFC 9457.
func problemJSON(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that has left is told nothing
		"status": status, "title": http.StatusText(status), "detail": detail,
	})
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", guest.RetryAfter(wait))
	problemJSON(w, http.StatusTooManyRequests, "So many requests come from you that the next one has to wait.")
}

// takeEvent puts what a visitor did on the stream of events.
func (s *Server) takeEvent(w http.ResponseWriter, r *http.Request) {
	now := s.options.Now()
	if wait := s.addresses.Take(guest.Address(r), now); wait > 0 {
		tooMany(w, wait)
		return
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		problemJSON(w, http.StatusUnsupportedMediaType, "An event is JSON: Content-Type: application/json.")
		return
	}
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		problemJSON(w, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("An event of this shop has %d bytes at most.", mostBytes))
		return
	}
	if err != nil {
		problemJSON(w, http.StatusBadRequest, "The event did not come whole.")
		return
	}
	event, err := activity.Decode(content)
	if err != nil {
		problemJSON(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	if !guest.Unguessable(event.SessionID) {
		problemJSON(w, http.StatusUnprocessableEntity,
			"session_id: a session of this shop is a random UUID (version 4) in small letters.")
		return
	}
	if s.options.Withhold && event.CustomerNumber < FirstGuest {
		problemJSON(w, http.StatusUnprocessableEntity, fmt.Sprintf("customer_number: this address is open to the whole"+
			" internet, so that nobody may act as a customer here: %d and above are allowed.", FirstGuest))
		return
	}
	if wait := s.sessions.Take(event.SessionID, now); wait > 0 {
		tooMany(w, wait)
		return
	}
	event = event.Identify(activity.Received(uuid.New(), now))
	ctx, cancel := context.WithTimeout(r.Context(), putTimeout)
	defer cancel()
	if err := s.options.Shop.Put(ctx, event.SessionID, event.Encode()); err != nil {
		s.options.Logger.Error("an event of the shop was not taken", "error", err)
		w.Header().Set("Retry-After", "1")
		problemJSON(w, http.StatusServiceUnavailable,
			"The stream of events does not take it just now. The same event may be sent again.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(map[string]string{"event_id": event.ID.String()}) // as above
}
