package classicmodels

import (
	"slices"
	"time"
)

// order with its lines.
type order struct {
	number, customer int // customer is an index, as products are
	day, shipped     int // days since firstDay; shipped is negative while nothing was
	status, comment  string
	required         int
	lines            []orderLine
}

type orderLine struct {
	product, quantity int
	price             int64 // hundredths
}

// check is unique to its customer.
type check struct {
	customer int
	number   string
}

type payment struct {
	check  check
	day    int
	amount int64
}

type rating struct {
	customer, product int
	stars, times      int   // the latest rating, and how many there were
	at                int64 // seconds since firstDay
}

// block is everything that happened to the customers of one block, in the order of events.
type block struct {
	shop            *Shop
	index           int
	buyers          []int // customers with orders
	orders          []order
	payments        []payment
	ratings         []rating // one for each (customer, product) pair that was ever ordered
	rated           map[[2]int]int
	ratedBy         [][]int        // by customer, in the block's order: positions in ratings
	checks          map[check]bool // in use
	ordersOfThePast int            // before the first day of the advance
	offered         int            // products on offer: see offer
}

const maxLines = 18

// block makes one block up to the last day of the shop's advance.
func (s *Shop) block(index int) *block {
	b := s.newBlock(index)
	b.past()
	b.live(0, s.options.AdvanceDays)
	return b
}

// newBlock knows its customers, to whom nothing has happened yet.
func (s *Shop) newBlock(index int) *block {
	b := &block{shop: s, index: index, rated: map[[2]int]int{}, checks: map[check]bool{}}
	from, to := s.share(customersPerBlock, index)
	b.buyers = make([]int, s.ordering(index))
	b.ratedBy = make([][]int, to-from)
	for customer := from; customer < to; customer++ {
		if role := s.role(customer); role < len(b.buyers) {
			b.buyers[role] = customer
		}
	}
	return b
}

// past makes the orders of the sample database's own years.
func (b *block) past() {
	s := b.shop
	d := roll(s.options.Seed, streamBlock, uint64(b.index))
	firstOrder, endOrder := s.share(ordersPerBlock, b.index)
	b.orders = make([]order, endOrder-firstOrder)
	customers, days := b.orderCustomers(&d), b.orderDays(&d)
	b.offered = s.products()
	sizes := b.orderSizes(&d)
	wanted := b.firstLines(&d, sizes)
	for i := range b.orders {
		b.orders[i] = order{number: 10100 + firstOrder + i, customer: customers[i], day: days[i]}
		b.fill(&d, &b.orders[i], wanted[i], sizes[i])
	}
	b.settle(&d)
	for i := range b.orders {
		o := &b.orders[i]
		b.describe(&d, o)
		for _, line := range o.lines {
			// Ratings come within three weeks; nothing is dated after the shop's last day.
			day := min(o.day+d.between(2, 21), baseDays-1)
			b.firstRating(&d, o.customer, line.product, day)
		}
		if o.shipped >= 0 && d.chance(880) {
			b.pay(&d, o, min(o.day+d.between(1, 20), baseDays-1))
		}
	}
	b.ordersOfThePast = len(b.orders)
}

// orderCustomers gives every buyer an order, two of them many, and the others the rest by chance.
func (b *block) orderCustomers(d *dice) []int {
	customers := make([]int, 0, len(b.orders))
	add := func(customer int) {
		if len(customers) < len(b.orders) {
			customers = append(customers, customer)
		}
	}
	for _, customer := range b.buyers {
		add(customer)
	}
	for range len(b.orders) / 15 {
		add(b.buyers[0])
	}
	for range len(b.orders) / 25 {
		add(b.buyers[min(1, len(b.buyers)-1)])
	}
	for len(customers) < len(b.orders) {
		add(pick(d, b.buyers))
	}
	shuffle(d, customers)
	return customers
}

// orderDays are in order, more of them late than early, and touch the first and the last day.
func (b *block) orderDays(d *dice) []int {
	days := make([]int, len(b.orders))
	for i := range days {
		days[i] = d.n(baseDays)
		if d.chance(400) {
			days[i] = max(days[i], d.n(baseDays))
		}
	}
	days[0], days[len(days)-1] = 0, baseDays-1
	slices.Sort(days)
	return days
}

// orderSizes are 1 to maxLines and sum to the block's share of order lines, as far as there are
// products enough.
func (b *block) orderSizes(d *dice) []int {
	most := min(maxLines, b.shop.products()-b.shop.blocks())
	from, to := b.shop.share(linesPerBlock, b.index)
	missing := min(to-from, most*len(b.orders))
	sizes := make([]int, len(b.orders))
	for i := range sizes {
		sizes[i] = d.between(1, most)
		missing -= sizes[i]
	}
	for missing != 0 {
		i := d.n(len(sizes))
		switch {
		case missing > 0 && sizes[i] < most:
			sizes[i]++
			missing--
		case missing < 0 && sizes[i] > 1:
			sizes[i]--
			missing++
		}
	}
	return sizes
}

// firstLines spreads the block's own products over its orders, so that each is ordered, but for the
// one that never is.
func (b *block) firstLines(d *dice, sizes []int) [][]int {
	wanted := make([][]int, len(b.orders))
	from, to := b.shop.share(productsPerBlock, b.index)
	for product := from; product < to; product++ {
		if b.shop.orderable(product) {
			i := d.n(len(wanted))
			for len(wanted[i]) >= sizes[i] {
				i = (i + 1) % len(wanted)
			}
			wanted[i] = append(wanted[i], product)
		}
	}
	return wanted
}

// fill gives an order its lines. What is bought does not depend on what is liked, so that the
// ratings are a fair sample of the preferences; about one line in six repeats an earlier purchase.
func (b *block) fill(d *dice, o *order, wanted []int, size int) {
	var inOrder [maxLines]int
	add := func(product int) bool {
		if slices.Contains(inOrder[:len(o.lines)], product) {
			return false
		}
		inOrder[len(o.lines)] = product
		p := b.shop.productTraits(product)
		o.lines = append(o.lines, orderLine{
			product: product, quantity: quantity(d) * b.shop.demandOn(o.day) / usualDemand,
			price: p.msrp() * int64(d.between(800, 1000)) / 1000,
		})
		return true
	}
	o.lines = make([]orderLine, 0, size)
	for _, product := range wanted {
		add(product)
	}
	bought := b.ratedBy[b.position(o.customer)]
	for len(o.lines) < size {
		if len(bought) > 0 && d.chance(150) && add(b.ratings[pick(d, bought)].product) {
			continue
		}
		b.addNew(d, o.customer, add)
	}
	shuffle(d, o.lines)
	for _, line := range o.lines {
		b.remember(o.customer, line.product)
	}
}

func quantity(d *dice) int {
	if d.chance(20) {
		return d.between(50, 97)
	}
	return d.between(15, 49)
}

// addNew adds a product that the customer has not bought, or, where nearly all are, any that the
// order lacks.
func (b *block) addNew(d *dice, customer int, add func(int) bool) {
	for range 12 {
		product := b.shop.offer(d.n(b.offered))
		if _, known := b.rated[[2]int{customer, product}]; !known && b.shop.orderable(product) && add(product) {
			return
		}
	}
	for at := d.n(b.offered); ; at = (at + 1) % b.offered {
		if product := b.shop.offer(at); b.shop.orderable(product) && add(product) {
			return
		}
	}
}

func (b *block) position(customer int) int { return customer - b.index*customersPerBlock }

// remember makes room for the pair's rating.
func (b *block) remember(customer, product int) {
	pair := [2]int{customer, product}
	if _, known := b.rated[pair]; known {
		return
	}
	b.rated[pair] = len(b.ratings)
	position := b.position(customer)
	b.ratedBy[position] = append(b.ratedBy[position], len(b.ratings))
	b.ratings = append(b.ratings, rating{customer: customer, product: product})
}

func (b *block) firstRating(d *dice, customer, product, day int) {
	if r := &b.ratings[b.rated[[2]int{customer, product}]]; r.times == 0 {
		b.rate(d, r, day)
	}
}

func (b *block) rate(d *dice, r *rating, day int) {
	s := b.shop
	r.stars = s.rate(s.customerTraits(r.customer), s.productTraits(r.product), r.times)
	r.times++
	r.at = int64(day)*secondsPerDay + int64(d.between(7*60*60, 22*60*60))
}

// The statuses that are not Shipped, with their counts among 326 orders. The latest orders are in
// process.
var otherStatuses = []struct {
	name  string
	count int
}{{"Cancelled", 6}, {"Resolved", 4}, {"On Hold", 4}, {"Disputed", 3}}

const inProcess = 6

// settle gives every order its status and dates.
func (b *block) settle(d *dice) {
	count := len(b.orders)
	for i := range b.orders {
		o := &b.orders[i]
		o.status, o.required, o.shipped = "Shipped", o.day+d.between(6, 10), min(o.day+d.between(1, 6), baseDays-1)
	}
	fresh := count * inProcess / ordersPerBlock
	for i := count - fresh; i < count; i++ {
		b.orders[i].status, b.orders[i].shipped = "In Process", -1
	}
	for _, other := range otherStatuses {
		for range count * other.count / ordersPerBlock {
			o := &b.orders[d.n(count-fresh)]
			for o.status != "Shipped" {
				o = &b.orders[d.n(count-fresh)]
			}
			o.status = other.name
			if other.name == "Cancelled" || other.name == "On Hold" {
				o.shipped = -1
			}
		}
	}
}

func (b *block) describe(d *dice, o *order) {
	if d.chance(240) || (o.status != "Shipped" && o.status != "In Process") {
		o.comment = pick(d, orderComments)
	}
}

func (b *block) pay(d *dice, o *order, day int) {
	paid := check{customer: o.customer, number: filled(d, "??######")}
	for b.checks[paid] {
		paid.number = filled(d, "??######")
	}
	b.checks[paid] = true
	b.payments = append(b.payments, payment{check: paid, day: day, amount: o.amount()})
}

// live adds days of the advance.
func (b *block) live(from, to int) {
	for day := from; day < to; day++ {
		b.liveOn(day)
	}
}

// liveOn adds one day of the advance. All that it adds is dated on that day.
func (b *block) liveOn(day int) {
	s := b.shop
	b.offered = s.products() + launches(day+1)
	d := roll(s.options.Seed, streamAdvance, uint64(b.index), uint64(day))
	today := baseDays + day
	for range b.arrivals(ordersPerBlock, day) {
		sequence := len(b.orders) - b.ordersOfThePast
		o := order{
			// Numbers of the blocks interleave, after all those of the past.
			number:   10100 + s.scaled(ordersPerBlock) + sequence*s.blocks() + b.index,
			customer: pick(&d, b.buyers), day: today, required: today + d.between(6, 10), shipped: -1,
			status: "In Process",
		}
		b.fill(&d, &o, nil, d.between(1, min(2*linesPerBlock/ordersPerBlock-1, s.products()-s.blocks())))
		b.describe(&d, &o)
		for _, line := range o.lines {
			b.firstRating(&d, o.customer, line.product, today)
		}
		if d.chance(840) {
			b.pay(&d, &o, today)
		}
		b.orders = append(b.orders, o)
	}
	for range b.arrivals(changesPerBlock, day) {
		r := &b.ratings[d.n(len(b.ratings))]
		b.rate(&d, r, today)
	}
}

// changesPerBlock is how many ratings change in as many days as the past had: two a day.
const changesPerBlock = 2 * 877

// arrivals spreads a count of the whole past evenly over days like those of the advance.
func (b *block) arrivals(count, day int) int {
	from, to := b.shop.share(count, b.index)
	phase := int(mix(b.shop.options.Seed^uint64(b.index)^uint64(count)) % uint64(baseDays))
	return ((day+1)*(to-from)+phase)/baseDays - (day*(to-from)+phase)/baseDays
}

// amount of all lines in hundredths.
func (o *order) amount() (sum int64) {
	for _, line := range o.lines {
		sum += int64(line.quantity) * line.price
	}
	return sum
}

func dayTime(day int) time.Time { return firstDay.AddDate(0, 0, day) }

func (o *order) row(s *Shop) []Value {
	shipped := Null
	if o.shipped >= 0 {
		shipped = DateValue(dayTime(o.shipped))
	}
	return []Value{
		IntegerValue(o.number), DateValue(dayTime(o.day)), DateValue(dayTime(o.required)), shipped, TextValue(o.status),
		optionalText(o.comment), IntegerValue(s.customerTraits(o.customer).number()),
	}
}

func (o *order) lineRow(s *Shop, i int) []Value {
	line := o.lines[i]
	return []Value{
		IntegerValue(o.number), TextValue(s.productTraits(line.product).code()), IntegerValue(line.quantity),
		DecimalValue(line.price),
		IntegerValue(i + 1),
	}
}

func (p *payment) row(s *Shop) []Value {
	return []Value{
		IntegerValue(s.customerTraits(p.check.customer).number()), TextValue(p.check.number), DateValue(dayTime(p.day)),
		DecimalValue(p.amount),
	}
}

func (r *rating) time() time.Time { return firstDay.Add(time.Duration(r.at) * time.Second) }

func (r *rating) row(s *Shop) []Value {
	return []Value{
		IntegerValue(s.customerTraits(r.customer).number()), TextValue(s.productTraits(r.product).code()),
		IntegerValue(r.stars),
		TimestampValue(r.time()),
	}
}
