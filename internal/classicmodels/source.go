package classicmodels

import (
	"context"
	"fmt"
	"time"
)

// Visit receives the rows one by one; the row is the visitor's to keep. An error ends the visit.
type Visit func(table *Table, row []Value) error

// Source is a classicmodels database, generated or read, in one pass.
type Source interface {
	// Scan visits the nine tables' rows, each after those that it refers to.
	Scan(ctx context.Context, visit Visit) error
	// ScanTraining visits the rows of the training set's parts (TrainingSchema).
	ScanTraining(ctx context.Context, visit Visit) error
	// Now is the moment whose state the source shows.
	Now() time.Time
	// Origin says where the data comes from: a kind (generated, dump) and its detail.
	Origin() (kind, detail string)
}

var _ Source = (*Shop)(nil)

// Origin is "generated" and the options.
func (s *Shop) Origin() (kind, detail string) { return "generated", s.options.String() }

// Scan visits all rows. The rows of several tables interleave.
func (s *Shop) Scan(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	v.each(Offices, len(offices), s.office)
	v.each(Employees, s.employees(), s.employee)
	v.each(ProductLines, len(productLines), productLine)
	v.each(Products, s.products(), s.product)
	for block := 0; block < s.blocks() && v.err == nil; block++ {
		from, to := s.share(customersPerBlock, block)
		v.each(Customers, to-from, func(i int) []Value { return s.customer(from + i) })
		s.block(block).scan(&v, 0)
	}
	return v.err
}

// ScanAdvance visits what the shop's last days brought: the new rows of orders, orderdetails and payments, and the ratings
// that are new or changed, which replace the pair's earlier ones.
// Days are 1 to those of the advance.
func (s *Shop) ScanAdvance(ctx context.Context, days int, visit Visit) error {
	if days < 1 || days > s.options.AdvanceDays {
		return fmt.Errorf("%d days: the shop was advanced by %d", days, s.options.AdvanceDays)
	}
	v := visitor{ctx: ctx, visit: visit}
	for block := 0; block < s.blocks() && v.err == nil; block++ {
		s.block(block).scan(&v, baseDays+s.options.AdvanceDays-days)
	}
	return v.err
}

// scan visits what the block's customers did from a day on.
func (b *block) scan(v *visitor, since int) {
	s := b.shop
	for i := range b.orders {
		if o := &b.orders[i]; o.day >= since {
			v.row(Orders, o.row(s))
			for line := range o.lines {
				v.row(OrderDetails, o.lineRow(s, line))
			}
		}
	}
	for i := range b.payments {
		if p := &b.payments[i]; p.day >= since {
			v.row(Payments, p.row(s))
		}
	}
	for i := range b.ratings {
		if r := &b.ratings[i]; r.at >= int64(since)*secondsPerDay {
			v.row(Ratings, r.row(s))
		}
	}
}

// visitor stops at the first error.
type visitor struct {
	ctx   context.Context
	visit Visit
	err   error
	rows  int
}

func (v *visitor) row(table string, row []Value) { v.rowOf(TableNamed(table), row) }

func (v *visitor) rowOf(table *Table, row []Value) {
	if v.err != nil {
		return
	}
	const rowsBetweenChecks = 1024
	if v.rows++; v.rows%rowsBetweenChecks == 0 {
		if v.err = v.ctx.Err(); v.err != nil {
			return
		}
	}
	v.err = v.visit(table, row)
}

func (v *visitor) each(table string, count int, row func(int) []Value) {
	for i := 0; i < count && v.err == nil; i++ {
		v.row(table, row(i))
	}
}
