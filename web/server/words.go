package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"diecast/internal/sales"
)

// money is an amount for people, such as $1,234.50. The sample company counts in dollars.
func money(c sales.Cents) string {
	text := c.String()
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	sign := ""
	if negative {
		sign = "−"
	}
	return sign + "$" + thousands(whole) + "." + fraction
}

// count is a number for people, such as 12,345.
func count(n int64) string {
	if n < 0 {
		return "−" + thousands(strings.TrimPrefix(strconv.FormatInt(n, 10), "-"))
	}
	return thousands(strconv.FormatInt(n, 10))
}

// orders counts them, such as 1 order or 1,234 orders.
func orders(n int64) string {
	if n == 1 {
		return "1 order"
	}
	return count(n) + " orders"
}

func thousands(digits string) string {
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// short is a number of a chart's scale, such as 2.5M.
func short(n int64) string {
	for _, unit := range []struct {
		size int64
		name string
	}{{1_000_000_000, "B"}, {1_000_000, "M"}, {1000, "k"}} {
		if n >= unit.size {
			tenths := n * 10 / unit.size
			if tenths%10 == 0 {
				return strconv.FormatInt(tenths/10, 10) + unit.name
			}
			return fmt.Sprintf("%d.%d%s", tenths/10, tenths%10, unit.name)
		}
	}
	return strconv.FormatInt(n, 10)
}

func shortMoney(cents int64) string {
	if cents%100 != 0 {
		return money(sales.Cents(cents))
	}
	return "$" + short(cents/100)
}

// day is a date for people, such as 31 May 2005.
func day(d sales.Day) string { return d.Time().Format("2 Jan 2006") }

// ago words an age, in whole minutes and then hours.
func ago(age time.Duration) string {
	unit := func(n int, name string) string {
		if n == 1 {
			return "1 " + name + " ago"
		}
		return fmt.Sprintf("%d %ss ago", n, name)
	}
	switch minutes := int(age / time.Minute); {
	case minutes < 1:
		return "less than a minute ago"
	case minutes < 120:
		return unit(minutes, "minute")
	case minutes < 48*60:
		return unit(minutes/60, "hour")
	default:
		return unit(minutes/60/24, "day")
	}
}

// change of one number against another in tenths of a per cent; false where there is nothing to
// compare with.
func change(now, before int64) (tenths int64, known bool) {
	if before <= 0 {
		return 0, false
	}
	return int64(divide(1000*(now-before), before)), true
}

// divide rounds to the nearest whole number, a half away from zero.
func divide(n, d int64) int64 {
	half := d / 2
	if n < 0 {
		half = -half
	}
	return (n + half) / d
}

// share of a whole as per cent.
func share(part, whole sales.Cents) string {
	if whole <= 0 {
		return ""
	}
	return percent(divide(1000*int64(part), int64(whole)))
}

// percent words tenths of a per cent.
func percent(tenths int64) string {
	sign := ""
	if tenths < 0 {
		sign, tenths = "−", -tenths
	}
	return fmt.Sprintf("%s%d.%d %%", sign, tenths/10, tenths%10)
}

// span is a time from one day to another for people.
func span(from, to sales.Day) string {
	if from == to {
		return day(from)
	}
	return day(from) + " to " + day(to)
}
