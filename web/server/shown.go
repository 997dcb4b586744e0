package server

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"diecast/internal/activity"
	"diecast/internal/catalogue"
	"diecast/internal/recommendation"
	"diecast/internal/sales"
)

// product as pages show it.
type product struct {
	Code string
	// Name is the code where the catalogue does not know it.
	Name, Line, Price string
	Cents             int64
	Known             bool
	Stock             int
	Picture           string
}

// pictures are drawn for these words of a product line, the first that it has; a box for others.
var pictures = []struct{ word, picture string }{
	{"vintage", "vintage"}, {"motorcycle", "motorcycle"}, {"plane", "plane"}, {"ship", "ship"}, {"train", "train"},
	{"truck", "truck"}, {"bus", "truck"}, {"car", "car"},
}

func pictureOf(line string) string {
	for _, one := range pictures {
		if strings.Contains(strings.ToLower(line), one.word) {
			return one.picture
		}
	}
	return "box"
}

// product of a code; what is not in the catalogue, or not yet, is shown by its code.
func productOf(shop *catalogue.Catalogue, code string) product {
	if shop != nil {
		if found, known := shop.Find(code); known {
			return sold(found)
		}
	}
	return product{Code: code, Name: code, Picture: "box"}
}

func sold(p catalogue.Product) product {
	return product{Code: p.Code, Name: p.Name, Line: p.Line, Price: money(p.Price), Cents: int64(p.Price), Known: true,
		Stock: p.Stock, Picture: pictureOf(p.Line)}
}

// few that are left are told with their number.
const few = 50

// Availability in words.
func (p product) Availability() string {
	switch {
	case p.Stock <= 0:
		return "Sold out"
	case p.Stock <= few:
		return fmt.Sprintf("Only %d left", p.Stock)
	}
	return "In stock"
}

// shown is an answer as the page for the company shows it.
type shown struct {
	// Title is who is asked for, Sentence what is known of them.
	Title, Sentence string
	// Stranger is somebody of whom nothing is known.
	Stranger bool
	// Visitor, Kind and Took tell of the event.
	Visitor, Kind, Took string
	At                  moment
	Session             string
	Customer            int
	Model               string
	Rung                recommendation.Rung
	RungWords           string
	Items               []shownItem
	Cart, Browsed       []shownEntry
	Similar             []shownSimilar
}

type shownItem struct {
	Rank int
	product
	Score, Why string
}

type shownEntry struct {
	product
	Quantity int
}

type shownSimilar struct {
	product
	InCart bool
	Items  []shownNeighbour
}

type shownNeighbour struct {
	product
	Distance string
}

var rungWords = map[recommendation.Rung]string{
	recommendation.Store:   "The vector store searched the active model’s items.",
	recommendation.Memory:  "Inference compared all items in its own memory: the store did not answer in time.",
	recommendation.Popular: "The most popular products, the same for everybody.",
}

var kindWords = map[string]string{
	activity.View: "looked at a product", activity.Cart: "changed the cart", activity.Checkout: "checked out",
	"": "did something in the shop",
}

// show an answer. Of a customer who is asked for, isKnown says whether the shop has them; nil where
// that cannot be said.
func show(who asked, answer recommendation.Answer, shop *catalogue.Catalogue) shown {
	v := shown{Model: answer.ModelVersion, Rung: answer.Rung, RungWords: rungWords[answer.Rung],
		Stranger: answer.Event == nil}
	v.Title = "Session " + who.session
	switch {
	case who.kind == aCustomer && who.customer >= FirstGuest:
		v.Title = "A visitor without a customer number"
	case who.kind == aCustomer:
		v.Title = fmt.Sprintf("Customer %d", who.customer)
	}
	if e := answer.Event; e != nil {
		v.Session, v.Customer, v.Kind, v.At = e.SessionID, e.CustomerNumber, kindWords[e.Type], moment(e.Time)
		v.Took = took(answer.RecommendedAt.Sub(e.Time))
		v.Visitor = visitor(*e)
		v.Sentence = v.Title + " " + v.Kind + "."
	} else {
		v.Sentence = stranger(who, shop)
	}
	v.Cart, v.Browsed = history(answer.Event, shop)
	near := nearest(answer)
	for i, item := range answer.Items {
		v.Items = append(v.Items, shownItem{Rank: i + 1, product: productOf(shop, item.ID),
			Score: measure(item.Score), Why: why(answer, near[item.ID], shop)})
	}
	for _, similar := range answer.Similar {
		one := shownSimilar{product: productOf(shop, similar.ProductCode), InCart: inCart(answer, similar.ProductCode)}
		for _, neighbour := range similar.Items {
			one.Items = append(one.Items, shownNeighbour{productOf(shop, neighbour.ID), measure(neighbour.Distance)})
		}
		v.Similar = append(v.Similar, one)
	}
	return v
}

// stranger says what is known of somebody whom no event is known of.
func stranger(who asked, shop *catalogue.Catalogue) string {
	const popular = " A stranger gets the most popular products, and so do they."
	switch {
	case who.kind == aSession:
		return "No event of this session is known, or its last one has expired." + popular
	case shop == nil:
		return "No event of this customer is known, or the last one has expired." + popular
	case shop.Knows(who.customer):
		return "The shop has this customer, but no event of theirs is known, or the last one has expired." + popular
	}
	return "The shop has no customer of this number, and no event of one is known." + popular
}

// visitor of an event: what the model knows of them.
func visitor(e activity.Event) string {
	var place []string
	for _, part := range []string{strings.TrimSpace(e.City), strings.TrimSpace(e.Country)} {
		if part != "" {
			place = append(place, part)
		}
	}
	from := "from nowhere that is told"
	if len(place) > 0 {
		from = "from " + strings.Join(place, ", ")
	}
	return fmt.Sprintf("%s, with a credit limit of %s", from, money(sales.Cents(math.Round(e.CreditLimit*100))))
}

// took words how long an answer took.
func took(d time.Duration) string {
	switch d = d.Truncate(time.Millisecond); { // records tell milliseconds
	case d < 0:
		return "before the event: the clock that dated it is ahead"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// measure is a score or a distance for people.
func measure(value float64) string {
	if math.Abs(value) >= 10 {
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	return strconv.FormatFloat(value, 'f', 3, 64)
}

func inCart(answer recommendation.Answer, code string) bool {
	return answer.Event != nil && slices.Contains(answer.Event.Cart(), code)
}

// history is what lies in the cart and what else was browsed, each once.
func history(event *activity.Event, shop *catalogue.Catalogue) (cart, browsed []shownEntry) {
	if event == nil {
		return nil, nil
	}
	quantities := map[string]int{}
	for _, entry := range event.BrowseHistory {
		quantities[entry.ProductCode] += entry.Quantity
	}
	for _, code := range event.Cart() {
		cart = append(cart, shownEntry{productOf(shop, code), quantities[code]})
	}
	for _, code := range event.Browsed() {
		browsed = append(browsed, shownEntry{productOf(shop, code), quantities[code]})
	}
	return cart, browsed
}

// nearest is, for each product, the one of the event that it is most similar to.
func nearest(answer recommendation.Answer) map[string]string {
	near, distance := map[string]string{}, map[string]float64{}
	for _, similar := range answer.Similar {
		for _, neighbour := range similar.Items {
			if known, there := distance[neighbour.ID]; !there || neighbour.Distance < known {
				near[neighbour.ID], distance[neighbour.ID] = similar.ProductCode, neighbour.Distance
			}
		}
	}
	return near
}

// why a product is recommended, near being that of the event which it is similar to; empty where it
// is to none. The model knows a customer by city, country and credit limit.
func why(answer recommendation.Answer, near string, shop *catalogue.Catalogue) string {
	switch {
	case answer.Event == nil:
		return "Most popular: nothing is known of who asks."
	case answer.Rung.Degraded():
		return "Most popular: the model did not answer this event."
	}
	words := "Near to what customers like this one take."
	if near == "" {
		return words
	}
	place := "was browsed"
	if inCart(answer, near) {
		place = "lies in the cart"
	}
	return strings.TrimSuffix(words, ".") + ", and similar to " + productOf(shop, near).Name + ", which " + place + "."
}
