package classicmodels

import (
	"context"
	"fmt"
	"slices"
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
	for index := range s.catalogue() {
		v.row(Products, s.product(index))
	}
	for block := 0; block < s.blocks() && v.err == nil; block++ {
		from, to := s.share(customersPerBlock, block)
		v.each(Customers, to-from, func(i int) []Value { return s.customer(from + i) })
		s.block(block).scan(&v)
	}
	return v.err
}

// Change of one row.
type Change struct {
	Table *Table
	// Before is nil for a new row, After for one that is gone.
	Before, After []Value
}

// ScanAdvance visits what the shop's last days brought, so that each row comes after those that it
// refers to: new products, new rows of orders, orderdetails and payments, ratings that are new or
// changed, and products that are withdrawn. Days are 1 to those of the advance.
func (s *Shop) ScanAdvance(ctx context.Context, days int, visit func(Change) error) error {
	last := s.options.AdvanceDays
	if days < 1 || days > last {
		return fmt.Errorf("%d days: the shop was advanced by %d", days, last)
	}
	since := last - days
	visitRow := func(table *Table, row []Value) error { return visit(Change{Table: table, After: row}) }
	v := visitor{ctx: ctx, visit: visitRow}
	for launch := launches(since); launch < launches(last); launch++ {
		v.row(Products, s.product(s.launched(launch)))
	}
	if index, made := s.doomed(launches(last) - 1); made && launches(since) < launches(last) {
		v.row(Products, s.product(index))
	}
	for block := 0; block < s.blocks() && v.err == nil; block++ {
		s.scanBlock(&v, block, since, visit)
	}
	for launch := launches(since); launch < launches(last) && v.err == nil; launch++ {
		index := s.withdrawn(launch)
		if index >= s.products() && launch > launches(since) {
			continue // it was launched within these days and is gone again
		}
		v.err = visit(Change{Table: TableNamed(Products), Before: s.product(index)})
	}
	return v.err
}

// scanBlock visits what happened in one block after the first days of the advance.
func (s *Shop) scanBlock(v *visitor, index, since int, visit func(Change) error) {
	b := s.newBlock(index)
	b.past()
	b.live(0, since)
	orders, payments, before := len(b.orders), len(b.payments), slices.Clone(b.ratings)
	b.live(since, s.options.AdvanceDays)
	for i := range b.orders[orders:] {
		b.scanOrder(v, orders+i)
	}
	for i := range b.payments[payments:] {
		v.row(Payments, b.payments[payments+i].row(s))
	}
	for i := range b.ratings {
		switch {
		case i >= len(before):
			v.row(Ratings, b.ratings[i].row(s))
		case b.ratings[i] != before[i] && v.err == nil:
			v.err = visit(Change{Table: TableNamed(Ratings), Before: before[i].row(s), After: b.ratings[i].row(s)})
		}
	}
}

// scan visits what the block's customers did.
func (b *block) scan(v *visitor) {
	for i := range b.orders {
		b.scanOrder(v, i)
	}
	for i := range b.payments {
		v.row(Payments, b.payments[i].row(b.shop))
	}
	for i := range b.ratings {
		v.row(Ratings, b.ratings[i].row(b.shop))
	}
}

func (b *block) scanOrder(v *visitor, i int) {
	o := &b.orders[i]
	v.row(Orders, o.row(b.shop))
	for line := range o.lines {
		v.row(OrderDetails, o.lineRow(b.shop, line))
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
