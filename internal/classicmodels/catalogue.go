package classicmodels

import (
	"fmt"
	"iter"
	"strings"
)

// productTraits is what the preferences see of a product.
type productTraits struct {
	index, line, scale int
	priceRank          int // 0 to 999, the cheapest first
}

func (s *Shop) products() int { return s.scaled(productsPerBlock) }

func (s *Shop) productTraits(index int) productTraits {
	block := index / productsPerBlock
	slot := productSlots[permute(index%productsPerBlock, productsPerBlock, mix(s.options.Seed)+uint64(block))]
	d := roll(s.options.Seed, streamProduct, uint64(index))
	return productTraits{index: index, line: slot.line, scale: slot.scale, priceRank: d.n(unit)}
}

// orderable is false for one product in every 110: it is never ordered. All new products but the
// doomed are.
func (s *Shop) orderable(index int) bool {
	return index >= s.products() || index != s.neverOrdered(index/productsPerBlock)
}

// neverOrdered is that product of a block.
func (s *Shop) neverOrdered(block int) int {
	from, to := s.share(productsPerBlock, block)
	return from + int(mix(s.options.Seed^mix(uint64(block)))%uint64(to-from))
}

// daysBetweenLaunches of the advance: on the first day, and on every seventh after it, the shop
// launches a product, which customers then order, and withdraws one that nobody ever did. Those of
// the sample go first, block by block. Afterwards each launch makes one more product, a doomed one,
// which is for the next withdrawal.
const daysBetweenLaunches = 7

// launches is how many there are in the first days of the advance.
func launches(days int) int { return (days + daysBetweenLaunches - 1) / daysBetweenLaunches }

// launched is the new product of a launch, doomed the one that is made to be withdrawn at the next.
func (s *Shop) launched(launch int) int { return s.products() + 2*launch }
func (s *Shop) doomed(launch int) (index int, made bool) {
	return s.products() + 2*launch + 1, launch+1 >= s.blocks()
}

// withdrawn is the product that goes when another is launched.
func (s *Shop) withdrawn(launch int) int {
	if launch < s.blocks() {
		return s.neverOrdered(launch)
	}
	index, _ := s.doomed(launch - 1)
	return index
}

// offer is the product at a position of what customers choose from: those of the sample, then the
// new ones.
func (s *Shop) offer(position int) int {
	if position < s.products() {
		return position
	}
	return s.launched(position - s.products())
}

// catalogue is every product that is there on the shop's last day, by index.
func (s *Shop) catalogue() iter.Seq[int] {
	return func(yield func(int) bool) {
		begun := launches(s.options.AdvanceDays)
		for index := range s.products() {
			block := index / productsPerBlock
			if gone := block < begun && index == s.neverOrdered(block); !gone && !yield(index) {
				return
			}
		}
		for launch := range begun {
			if !yield(s.launched(launch)) {
				return
			}
		}
		if index, made := s.doomed(begun - 1); begun > 0 && made {
			yield(index)
		}
	}
}

// productCode is unique: 9,000 numbers in a scattered order, then the next 9,000.
func (p productTraits) code() string {
	const numbers = 9000
	number := 1000 + p.index*7919%numbers + p.index/numbers*numbers
	return "S" + strings.TrimPrefix(productScales[p.scale], "1:") + "_" + itoa(number)
}

// Prices in hundredths; they grow with the rank, faster at the top.
func (p productTraits) msrp() int64 {
	rank := int64(p.priceRank)
	return 3319 + rank*9 + rank*rank*rank/100_000 - rank%10
}

// buyPrice is 40 to 60 percent of the MSRP.
func (p productTraits) buyPrice(d *dice) int64 { return p.msrp() * int64(d.between(400, 600)) / 1000 }

// product is a row of products. The numbers depend on nothing but the product's own stream.
func (s *Shop) product(index int) []Value {
	p := s.productTraits(index)
	d := roll(s.options.Seed, streamProductText, uint64(index))
	stock, buyPrice := d.between(15, 9997), p.buyPrice(&d)
	brand, model := pick(&d, makes), pick(&d, models[p.line])
	year := firstYears[p.line] + d.n(28)
	words := details
	first, second := d.n(len(words)), d.n(len(words)-1)
	if second >= first {
		second++
	}
	vendor := pick(&d, vendors)
	if d.chance(30) {
		vendor += " "
	}
	scale := productScales[p.scale]
	return []Value{
		TextValue(
			p.code(),
		), TextValue(fmt.Sprintf("%d %s %s", year, brand, model)), TextValue(productLines[p.line].name),
		TextValue(scale), TextValue(vendor),
		TextValue(
			fmt.Sprintf("%s in %s, after the %d original. %s. %s.", model, scale, year, words[first], words[second]),
		),
		IntegerValue(stock), DecimalValue(buyPrice), DecimalValue(p.msrp()),
	}
}

func productLine(index int) []Value {
	line := productLines[index]
	return []Value{TextValue(line.name), TextValue(line.description), Null, Null}
}
