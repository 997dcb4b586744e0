// Package sales is what the shop sold, held in memory: one reading of the database, from which any
// period, product line and country is answered exactly, without asking the database again. Revenue
// is the sum of quantityOrdered x priceEach by order date, cancelled orders left out.
//
// It keeps every order line that counts, 16 bytes each, because orders cannot be counted from sums:
// an order with two product lines is one order. A shop of scale 1 has 3,000 lines; one of scale
// 100 has 300,000, which take 5 MB and are added up in a few milliseconds. MaxItems is the bound.
//
// The package does not know how the database is reached or who looks at the figures.
package sales

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"
)

// Product that can be sold.
type Product struct{ Code, Name, Line string }

// Item is one line of an order that counts.
type Item struct {
	Order    int64
	Day      Day
	Country  string
	Product  string // its code
	Quantity int32
	Amount   Cents
}

// Spike is a day of unusual revenue of the whole shop, by the definition of
// sql/source/spike_days.sql.
type Spike struct {
	Day                Day
	Revenue, Threshold Cents
}

// Figures are one reading of the shop's sales. They do not change.
type Figures struct {
	asOf      time.Time
	lines     []string
	countries []string
	products  []product
	orders    []order // by day
	items     []item  // by order
	spikes    []Spike // by day
}

type product struct {
	Product
	line int32
}

type order struct {
	day     Day
	country int32
	// end is behind the order's last item; its first is where the order before it ends.
	end int32
}

type item struct {
	amount   Cents
	product  int32
	quantity int32
}

// unknownLine is that of products which the catalogue does not name, as a dump without foreign
// keys may have them.
const unknownLine = "(not in the catalogue)"

// builder of Figures: items come in the order of days, those of an order one after the other.
type builder struct {
	figures                    *Figures
	products, lines, countries map[string]int32
	last                       int64
}

func newBuilder(asOf time.Time, lines []string, products []Product) *builder {
	b := &builder{figures: &Figures{asOf: asOf}, products: map[string]int32{}, lines: map[string]int32{},
		countries: map[string]int32{}}
	for _, line := range lines {
		b.name(&b.figures.lines, b.lines, line)
	}
	for _, product := range products {
		b.product(product)
	}
	return b
}

// folded is a text as MySQL's own collations compare it, in which joins are made: without case and
// without spaces at its end. A shop's own dump may spell one name in several ways.
func folded(text string) string { return strings.ToLower(strings.TrimRight(text, " ")) }

// name is a text's place in a list, to which it is added where it is new, as it is first spelt.
func (b *builder) name(list *[]string, places map[string]int32, text string) int32 {
	place, known := places[folded(text)]
	if !known {
		place = int32(len(*list))
		places[folded(text)] = place
		*list = append(*list, text)
	}
	return place
}

func (b *builder) product(p Product) int32 {
	place := int32(len(b.figures.products))
	b.products[folded(p.Code)] = place
	b.figures.products = append(b.figures.products, product{p, b.name(&b.figures.lines, b.lines, p.Line)})
	return place
}

func (b *builder) add(i Item) {
	f := b.figures
	place, known := b.products[folded(i.Product)]
	if !known {
		place = b.product(Product{Code: i.Product, Name: i.Product, Line: unknownLine})
	}
	if len(f.orders) == 0 || b.last != i.Order {
		b.last = i.Order
		f.orders = append(f.orders, order{day: i.Day, country: b.name(&f.countries, b.countries, i.Country)})
	}
	f.items = append(f.items, item{amount: i.Amount, product: place, quantity: i.Quantity})
	f.orders[len(f.orders)-1].end = int32(len(f.items))
}

// New makes figures of rows as the database gives them, in any order.
func New(asOf time.Time, lines []string, products []Product, items []Item, spikes []Spike) *Figures {
	b := newBuilder(asOf, lines, products)
	items = slices.Clone(items)
	slices.SortStableFunc(items, func(one, other Item) int {
		return cmp.Or(cmp.Compare(one.Day, other.Day), cmp.Compare(one.Order, other.Order))
	})
	for _, item := range items {
		b.add(item)
	}
	b.figures.spikes = spikes
	return b.figures
}

// AsOf is when the database was read.
func (f *Figures) AsOf() time.Time { return f.asOf }

// Lines are all product lines by name, Countries those of the orders.
func (f *Figures) Lines() []string     { return sorted(f.lines) }
func (f *Figures) Countries() []string { return sorted(f.countries) }

func sorted(texts []string) []string {
	texts = slices.Clone(texts)
	slices.Sort(texts)
	return texts
}

// Span are the first and the last day with an order; false where there is none.
func (f *Figures) Span() (first, last Day, sold bool) {
	if len(f.orders) == 0 {
		return 0, 0, false
	}
	return f.orders[0].day, f.orders[len(f.orders)-1].day, true
}

// Latest is the last day with an order that is not dated after the reading, by a day at most: the
// shop's calendar may be ahead of UTC. Later counts the orders that are. Where every order is,
// nothing is known to be wrong, and the last is the latest.
func (f *Figures) Latest() (latest Day, later int64) {
	end := sort.Search(len(f.orders), func(i int) bool { return f.orders[i].day > DayOf(f.asOf)+1 })
	if end == 0 {
		_, latest, _ = f.Span()
		return latest, 0
	}
	return f.orders[end-1].day, int64(len(f.orders) - end)
}
