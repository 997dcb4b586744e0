package sales

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Cents is an amount of money in hundredths. Sums of it are exact.
type Cents int64

// String is the amount as SQL writes it, such as -12.05.
func (c Cents) String() string {
	sign, whole := "", uint64(c)
	if c < 0 {
		sign, whole = "-", -uint64(c)
	}
	return fmt.Sprintf("%s%d.%02d", sign, whole/100, whole%100)
}

// Day is a date of the calendar, as the number of days since 1970-01-01.
type Day int32

const (
	secondsPerDay = 24 * 60 * 60
	dayFormat     = "2006-01-02"
)

// DayOf is the date of a moment in UTC.
func DayOf(moment time.Time) Day {
	seconds := moment.Unix()
	day := seconds / secondsPerDay
	if seconds%secondsPerDay < 0 {
		day--
	}
	return Day(day)
}

// ParseDay reads a date such as 2005-05-31, from the year 1 to 9999.
func ParseDay(text string) (Day, error) {
	moment, err := time.Parse(dayFormat, text)
	if err != nil || moment.Year() < 1 {
		return 0, errors.New("a date such as 2005-05-31 is allowed")
	}
	return DayOf(moment), nil
}

// Time is the midnight in UTC with which the day begins.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// String is the date in the form that ParseDay reads.
func (d Day) String() string { return d.Time().Format(dayFormat) }

// monday is the first day of the day's week, first that of its month.
func (d Day) monday() Day { return d - Day((int(d.Time().Weekday())+6)%7) }
func (d Day) first() Day  { return d - Day(d.Time().Day()-1) }

// nextYears is the day with which the next so many years begin, counted from the year 0.
func (d Day) nextYears(count int) Day {
	year := d.Time().Year()
	return DayOf(time.Date(year-year%count+count, time.January, 1, 0, 0, 0, 0, time.UTC))
}

// parseCents reads a decimal as SQL writes it; what is below the cent is rounded, half up.
func parseCents(text string) (Cents, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	fraction = (fraction + "000")[:3]
	thousandths, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil || whole == "" || thousandths < 0 {
		return 0, fmt.Errorf("%q is no amount of money", text)
	}
	cents := Cents((thousandths + 5) / 10)
	if negative {
		cents = -cents
	}
	return cents, nil
}
