package classicmodels

import (
	"fmt"
	"strings"
)

// customerTraits is what the preferences see of a customer.
type customerTraits struct {
	index      int
	silent     bool // has no orders
	home       int  // index in orderingPlaces, or in silentPlaces after them
	creditRank int  // 0 to 999, the lowest limit first
}

func (c customerTraits) place() place {
	if c.home < len(orderingPlaces) {
		return orderingPlaces[c.home]
	}
	return silentPlaces[c.home-len(orderingPlaces)]
}

func (s *Shop) customers() int { return s.scaled(customersPerBlock) }

// ordering is how many customers of a block have orders.
func (s *Shop) ordering(block int) int {
	from, to := s.share(customersPerBlock, block)
	return ((to-from)*orderingPerBlock + customersPerBlock/2) / customersPerBlock
}

// role is the customer's place in its block: the first ones have orders, the very first the most.
func (s *Shop) role(index int) int {
	block := index / customersPerBlock
	from, to := s.share(customersPerBlock, block)
	return permute(index-from, to-from, s.options.Seed^mix(uint64(block)+1<<32))
}

func (s *Shop) customerTraits(index int) customerTraits {
	block, role := index/customersPerBlock, s.role(index)
	ordering := s.ordering(block)
	d := roll(s.options.Seed, streamCustomer, uint64(index))
	c := customerTraits{index: index, silent: role >= ordering, creditRank: d.n(unit)}
	switch elsewhere := role - ordering; {
	case c.silent && elsewhere < len(silentPlaces):
		c.home = len(orderingPlaces) + elsewhere
	case !c.silent && role < len(orderingPlaces):
		c.home = (role*29 + block) % len(orderingPlaces) // 29 and 77 share no factor: every city once
	case d.chance(600):
		c.home = pick(&d, busyPlaces)
	default:
		c.home = d.n(len(orderingPlaces))
	}
	if c.silent {
		c.creditRank = 0
	}
	return c
}

// number lies in 103 to 496 at scale 1 and leaves gaps.
func (c customerTraits) number() int { return 103 + c.index*16/5 + int(mix(uint64(c.index))%3) }

// creditLimit in hundredths: 11,000 to 227,000, in whole hundreds; nothing for customers without
// orders.
func (c customerTraits) creditLimit() int64 {
	if c.silent {
		return 0
	}
	rank := int64(c.creditRank)
	return 100 * 100 * (110 + rank*11/10 + rank*rank*rank/940_000)
}

// padded has trailing spaces in some rows, as the sample database's text has.
func padded(d *dice, text string, permille int) string {
	if d.chance(permille) {
		return text + strings.Repeat(" ", d.between(1, 3))
	}
	return text
}

// customer is a row of customers.
func (s *Shop) customer(index int) []Value {
	c := s.customerTraits(index)
	d := roll(s.options.Seed, streamCustomerText, uint64(index))
	home := c.place()
	land := countries[home.country]
	people := regions[land.region]
	company := pick(&d, companyWords[0]) + " " + pick(&d, companyWords[1])
	if d.chance(800) {
		company += " " + pick(&d, people.company)
	}
	first, last := pick(&d, people.first), pick(&d, people.last)
	var second Value
	if d.chance(180) {
		second = TextValue(pick(&d, []string{"Level 3", "2nd Floor", "Unit 7", "Bldg. B", "PO Box 81",
			"c/o The Old Dairy"}))
	}
	postal := Null
	if land.postal != "" && !d.chance(25) {
		postal = TextValue(padded(&d, filled(&d, land.postal), 40))
	}
	representative := IntegerValue(s.employeeNumber(managers + d.n(s.representatives())))
	credit := DecimalValue(c.creditLimit())
	if c.silent {
		if !d.chance(100) {
			representative = Null
		}
		if d.chance(120) {
			credit = Null
		}
	}
	return []Value{
		IntegerValue(c.number()), TextValue(padded(&d, company, 50)), TextValue(padded(&d, last, 150)),
		TextValue(padded(&d, first, 150)),
		TextValue(phone(&d, people)), TextValue(address(&d, people)), second,
		TextValue(padded(&d, home.city, 40)), optionalText(home.state), postal, TextValue(padded(&d, home.country, 80)),
		representative, credit,
	}
}

func address(d *dice, people *region) string {
	street, number := pick(d, people.streets), itoa(d.between(1, 4998))
	if people.numberAfter {
		return street + " " + number
	}
	return number + " " + street
}

func phone(d *dice, people *region) string {
	return filled(d, pick(d, []string{people.dial + "-###-####", "(" + people.dial + ") ###-####",
		people.dial + ".##.####", "+" + people.dial + " ### ####"}))
}

func filled(d *dice, pattern string) string {
	text := []byte(pattern)
	for i, char := range text {
		switch char {
		case '#':
			text[i] = byte('0' + d.n(10))
		case '?':
			text[i] = byte('A' + d.n(26))
		}
	}
	return string(text)
}

var offices = [...]struct {
	place
	territory string
}{
	{place{"Pittsburgh", "PA", "USA"}, "NA"}, {place{"Austin", "TX", "USA"}, "NA"},
	{place{"Montréal", "Québec", "Canada"}, "NA"},
	{place{"Lyon", "", "France"}, "EMEA"}, {place{"Sapporo", "", "Japan"}, "Japan"},
	{place{"Brisbane", "Queensland", "Australia"}, "APAC"},
	{place{"Leeds", "", "UK"}, "EMEA"},
}

// office is a row of offices.
func (s *Shop) office(index int) []Value {
	d := roll(s.options.Seed, streamOffice, uint64(index))
	office := offices[index]
	land := countries[office.country]
	people := regions[land.region]
	var second Value
	if index%2 == 0 {
		second = TextValue("Floor " + itoa(d.between(1, 12)))
	}
	return []Value{
		TextValue(itoa(index + 1)), TextValue(office.city), TextValue("+" + people.dial + filled(&d, " ### ####")),
		TextValue(address(&d, people)),
		second, optionalText(office.state), TextValue(office.country), TextValue(filled(&d, land.postal)),
		TextValue(office.territory),
	}
}

func (s *Shop) representatives() int { return max(1, s.scaled(repsPerBlock)) }
func (s *Shop) employees() int       { return managers + s.representatives() }

func (s *Shop) employeeNumber(index int) int { return 1002 + index*7 }

// The six managers: title, office, and whom they report to.
var management = [managers]struct {
	title           string
	office, reports int
}{
	{"President", 1, -1}, {"VP Sales", 1, 0}, {"VP Marketing", 1, 0},
	{"Sales Manager (NA)", 1, 1}, {"Sales Manager (EMEA)", 4, 1}, {"Sales Manager (APAC)", 6, 1},
}

// employee is a row of employees.
func (s *Shop) employee(index int) []Value {
	d := roll(s.options.Seed, streamEmployee, uint64(index))
	people := regions[pick(&d, []string{"english", "english", "french", "pacific"})]
	first, last := pick(&d, people.first), pick(&d, people.last)
	title, office, reports := "Sales Rep", 1+d.n(len(offices)), 3
	switch offices[office-1].territory {
	case "EMEA":
		reports = 4
	case "APAC", "Japan":
		reports = 5
	}
	if index < managers {
		title, office, reports = management[index].title, management[index].office, management[index].reports
	}
	superior := Null
	if reports >= 0 {
		superior = IntegerValue(s.employeeNumber(reports))
	}
	return []Value{
		IntegerValue(s.employeeNumber(index)), TextValue(last), TextValue(padded(&d, first, 60)),
		TextValue(filled(&d, "x####")),
		TextValue(fmt.Sprintf("rep%d@diecast.example", s.employeeNumber(index))), TextValue(itoa(office)), superior,
		TextValue(title),
	}
}
