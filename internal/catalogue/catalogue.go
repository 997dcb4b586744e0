// Package catalogue is what the shop sells, held in memory: one reading of the database, from which
// products are found by code, line and words of their name. It also knows the numbers of the shop's
// customers, and nothing else of them.
//
// A product takes about 160 bytes: MaxProducts take 32 MB, twice that while one reading replaces
// another. The 110 products of a shop of scale 1 take 18 kB.
//
// The package does not know who looks at the catalogue, or what is recommended.
package catalogue

import (
	"cmp"
	"slices"
	"sort"
	"strings"
	"time"

	"diecast/internal/sales"
)

// Product that the shop sells.
type Product struct {
	Code, Name, Line string
	// Price is the one that the maker recommends (MSRP).
	Price sales.Cents
	// Stock is how many there are.
	Stock int
}

// Catalogue is one reading. It does not change.
type Catalogue struct {
	asOf time.Time
	// products by line, in a line by name.
	products []Product
	// folded names, of each product, in which words are searched.
	folded []string
	// byCode are the products' places in the order of their codes.
	byCode    []int32
	lines     []Line
	customers []int32
}

// Line of products.
type Line struct {
	Name     string
	Products int
}

// New catalogue of what was read at a moment. The numbers of customers are in ascending order.
func New(asOf time.Time, products []Product, customers []int32) *Catalogue {
	c := &Catalogue{asOf: asOf, products: slices.Clone(products), customers: customers}
	slices.SortFunc(c.products, func(a, b Product) int {
		return cmp.Or(cmp.Compare(fold(a.Line), fold(b.Line)), cmp.Compare(fold(a.Name), fold(b.Name)),
			cmp.Compare(a.Code, b.Code))
	})
	c.folded, c.byCode = make([]string, len(c.products)), make([]int32, len(c.products))
	for i := range c.products {
		p := &c.products[i]
		c.folded[i], c.byCode[i] = fold(p.Name), int32(i)
		if last := len(c.lines) - 1; last < 0 || fold(c.lines[last].Name) != fold(p.Line) {
			c.lines = append(c.lines, Line{Name: strings.TrimRight(p.Line, " ")})
		}
		line := &c.lines[len(c.lines)-1]
		line.Products++
		p.Line = line.Name // one text for all, as it was spelt first
	}
	slices.SortFunc(c.byCode, func(a, b int32) int {
		return cmp.Compare(c.products[a].Code, c.products[b].Code)
	})
	return c
}

// fold a text for comparing, as MySQL's own collations do: without case and spaces at its end.
func fold(text string) string { return strings.ToLower(strings.TrimRight(text, " ")) }

// AsOf is when the catalogue was read.
func (c *Catalogue) AsOf() time.Time { return c.asOf }

// Len is how many products there are.
func (c *Catalogue) Len() int { return len(c.products) }

// Lines of products, by name.
func (c *Catalogue) Lines() []Line { return c.lines }

// Find a product by its code.
func (c *Catalogue) Find(code string) (Product, bool) {
	at := sort.Search(len(c.byCode), func(i int) bool { return c.products[c.byCode[i]].Code >= code })
	if at == len(c.byCode) || c.products[c.byCode[at]].Code != code {
		return Product{}, false
	}
	return c.products[c.byCode[at]], true
}

// Search finds the products of a line, all lines where it is empty, whose names or codes have every
// one of the words, in the order of lines and names. It leaves out the first skip of them and gives
// most at most; found is how many there are in all.
func (c *Catalogue) Search(line, words string, skip, most int) (products []Product, found int) {
	line = fold(line)
	wanted := wordsOf(words)
	first := 0
	for _, one := range c.lines {
		end := first + one.Products
		if line == "" || fold(one.Name) == line {
			for i := first; i < end; i++ {
				if !c.has(i, wanted) {
					continue
				}
				if found >= skip && len(products) < most {
					products = append(products, c.products[i])
				}
				found++
			}
		}
		first = end
	}
	return products, found
}

// wordsOf a search, each once: a thousand times the same is looked for once in each product.
func wordsOf(search string) []string {
	words := strings.Fields(fold(search))
	slices.Sort(words)
	return slices.Compact(words)
}

func (c *Catalogue) has(product int, words []string) bool {
	for _, word := range words {
		if !strings.Contains(c.folded[product], word) &&
			!strings.Contains(strings.ToLower(c.products[product].Code), word) {
			return false
		}
	}
	return true
}

// Customers is how many customers' numbers are known.
func (c *Catalogue) Customers() int { return len(c.customers) }

// Sample of customers, most at most, evenly over all: the same wherever the same shop is read.
func (c *Catalogue) Sample(most int) []int {
	count := min(most, len(c.customers))
	sample := make([]int, count)
	for i := range sample {
		sample[i] = int(c.customers[i*len(c.customers)/count])
	}
	return sample
}

// Knows says whether a number is a customer's.
func (c *Catalogue) Knows(customer int) bool {
	_, known := slices.BinarySearchFunc(c.customers, customer, func(one int32, wanted int) int {
		return cmp.Compare(int(one), wanted)
	})
	return known
}
