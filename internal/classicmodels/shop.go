package classicmodels

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Generator is the version of what equal options give. Raise it with every change of the generated
// rows: a database that holds another version's shop cannot live on as this one's.
const Generator = 1

// Counts at scale 1, those of the sample database.
const (
	customersPerBlock = 122
	orderingPerBlock  = 98
	productsPerBlock  = 110
	ordersPerBlock    = 326
	linesPerBlock     = 2996
	repsPerBlock      = 17
	managers          = 6
)

// Limits of the options.
const (
	MinScale = 0.1
	MaxScale = 10_000
	// MaxAdvanceDays is ten years.
	MaxAdvanceDays = 3650
)

const (
	secondsPerDay = 24 * 60 * 60
	parts         = 10 // the scale counts tenths
)

// The orders' first and last day, as in the sample database.
var (
	firstDay = time.Date(2003, time.January, 6, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2005, time.May, 31, 0, 0, 0, 0, time.UTC)
	baseDays = int(lastDay.Sub(firstDay)/(24*time.Hour)) + 1
)

// Options of the generated shop. Equal options give equal bytes.
type Options struct {
	// Seed selects one of the possible shops. Default 0.
	Seed uint64 `json:"seed"`
	// Scale multiplies customers, products, sales representatives and all that follows from them. 1
	// has the sample database's counts. From MinScale to MaxScale, in tenths.
	Scale float64 `json:"scale"`
	// Strength of the planted preferences, from 0 (ratings are pure chance) to 1 (no chance at
	// all): the correlation between a customer's affinity to a product and the score behind the
	// rating. Counted in thousandths.
	Strength float64 `json:"strength"`
	// AdvanceDays continues the shop's life after 2005-05-31: new orders, first ratings of what
	// they bring, changed ratings of what was rated before, and every week a new product and one
	// that is withdrawn. All else that lies before stays as it was. From 0 to MaxAdvanceDays.
	AdvanceDays int `json:"advance_days"`
}

// DefaultOptions are scale 1 and a strength of 0.8.
func DefaultOptions() Options { return Options{Seed: 1, Scale: 1, Strength: 0.8} }

// Validate reports all that is wrong with the options.
func (o Options) Validate() error {
	var problems []error
	if tenths := o.Scale * parts; !(o.Scale >= MinScale && o.Scale <= MaxScale) ||
		math.Abs(tenths-math.Round(tenths)) > 1e-6 {
		problems = append(problems, fmt.Errorf("scale %v: allowed are %v to %v in tenths", o.Scale, MinScale, MaxScale))
	}
	if !(o.Strength >= 0 && o.Strength <= 1) {
		problems = append(problems, fmt.Errorf("strength %v: allowed are 0 (ratings by chance) to 1 (no chance)",
			o.Strength))
	}
	if o.AdvanceDays < 0 || o.AdvanceDays > MaxAdvanceDays {
		problems = append(problems, fmt.Errorf("advance %d: allowed are 0 to %d days", o.AdvanceDays, MaxAdvanceDays))
	}
	return errors.Join(problems...)
}

// String is the options in the form that a manifest's source detail has.
func (o Options) String() string {
	return fmt.Sprintf("seed=%d scale=%s strength=%s advance=%d", o.Seed, decimal(o.Scale), decimal(o.Strength),
		o.AdvanceDays)
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// Shop is a generated database. It holds a few kilobytes at any scale; its methods may be used
// concurrently.
type Shop struct {
	options         Options
	strength, noise int64 // thousandths; their squares sum to one
	tastes          [markets]taste
	scale           int         // tenths
	demand          map[int]int // by day since firstDay: see plantSpikes
}

// New checks the options and plants the preferences.
func New(options Options) (*Shop, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	strength := int64(math.Round(options.Strength * unit))
	s := &Shop{
		options: options, strength: strength, noise: squareRoot(unit*unit - strength*strength),
		tastes: plantTastes(options.Seed), scale: int(math.Round(options.Scale * parts)),
	}
	s.demand = s.plantSpikes()
	return s, nil
}

// Options that the shop was made with.
func (s *Shop) Options() Options { return s.options }

// Now is the midnight that ends the shop's last day: nothing in it happened later.
func (s *Shop) Now() time.Time { return lastDay.AddDate(0, 0, 1+s.options.AdvanceDays) }

// scaled is a count of scale 1 at this shop's scale.
func (s *Shop) scaled(count int) int { return count * s.scale / parts }

// A block is a scale-1 shop within the shop; the last may be smaller. Blocks are made one by one,
// which bounds the memory.
func (s *Shop) blocks() int { return (s.scale + parts - 1) / parts }

// share is the half-open range of a kind's indices that belongs to a block.
func (s *Shop) share(count, block int) (from, to int) {
	return count * block, min(count*(block+1), s.scaled(count))
}
