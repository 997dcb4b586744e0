// Package schedule reads EventBridge's schedule expressions, in UTC, and says how far apart two
// starts are at least and at most, from which follow limits and alarms. It starts nothing, and does
// not know what is started.
//
// Contract: "EventBridge Scheduler user guide", "Schedule types".
package schedule

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Schedule is an expression that was read.
type Schedule struct {
	shortest, longest time.Duration
}

// Shortest is the least time between two starts.
func (s Schedule) Shortest() time.Duration { return s.shortest }

// Longest is the greatest time between two starts.
func (s Schedule) Longest() time.Duration { return s.longest }

var (
	rateSyntax = regexp.MustCompile(`^rate\(([1-9][0-9]{0,5}) (minute|minutes|hour|hours|day|days)\)$`)
	cronSyntax = regexp.MustCompile(`^cron\((.+)\)$`)
	units      = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
)

// Parse reads rate(n unit) or cron(minute hour day-of-month month day-of-week year). Of cron it
// takes *, lists, ranges and steps, and every year: L, W and #, which count from a month's end or
// by its weeks, are refused, and so are days that never come.
func Parse(text string) (Schedule, error) {
	if found := rateSyntax.FindStringSubmatch(text); found != nil {
		count, err := strconv.Atoi(found[1])
		if err != nil {
			return Schedule{}, err
		}
		if (count == 1) == strings.HasSuffix(found[2], "s") {
			return Schedule{}, fmt.Errorf("a rate of 1 has its unit without s, another one with it")
		}
		every := time.Duration(count) * units[strings.TrimSuffix(found[2], "s")]
		return Schedule{every, every}, nil
	}
	if found := cronSyntax.FindStringSubmatch(text); found != nil {
		return cron(found[1])
	}
	return Schedule{}, errors.New("it is neither rate(1 day) nor cron(0 3 * * ? *)")
}

// field of a cron expression.
type field struct {
	name         string
	least, most  int
	words        []string
	mayBeUnasked bool // takes ?
}

var fields = []field{
	{"minute", 0, 59, nil, false},
	{"hour", 0, 23, nil, false},
	{"day of month", 1, 31, nil, true},
	{"month", 1, 12, strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"), false},
	{"day of week", 1, 7, strings.Fields("SUN MON TUE WED THU FRI SAT"), true},
}

// cronYears are looked at for the distance of two days: a leap year comes every four.
const cronYears = 9

func cron(text string) (Schedule, error) {
	parts := strings.Fields(text)
	if len(parts) != len(fields)+1 {
		return Schedule{}, fmt.Errorf("cron has %d fields, minute hour day-of-month month day-of-week year, not %d",
			len(fields)+1, len(parts))
	}
	var problems []error
	sets := make([]map[int]bool, len(fields))
	for i, f := range fields {
		set, err := f.read(parts[i])
		if err != nil {
			problems = append(problems, fmt.Errorf("the %s %q %w", f.name, parts[i], err))
		}
		sets[i] = set
	}
	if (parts[2] == "?") == (parts[4] == "?") {
		problems = append(problems, errors.New("one of day of month and day of week is ?, the other is not"))
	}
	if parts[5] != "*" {
		problems = append(problems, fmt.Errorf("the year %q is not *: the schedule would end", parts[5]))
	}
	if err := errors.Join(problems...); err != nil {
		return Schedule{}, err
	}
	return distances(sets)
}

// read is the set of a field's values.
func (f field) read(text string) (map[int]bool, error) {
	set := map[int]bool{}
	if text == "?" {
		if !f.mayBeUnasked {
			return nil, errors.New("takes no ?")
		}
		text = "*"
	}
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		first, last, ranged := strings.Cut(span, "-")
		from, err := f.number(first)
		to := from
		switch {
		case span == "*":
			from, to, err = f.least, f.most, nil
		case err == nil && ranged:
			to, err = f.number(last)
		case stepped:
			to = f.most
		}
		every := 1
		if stepped && err == nil {
			if every, err = strconv.Atoi(step); err != nil || every < 1 || every > f.most {
				err = fmt.Errorf("has the step %q: a number from 1 to %d is one", step, f.most)
			}
		}
		if err != nil {
			return nil, err
		}
		if to < from {
			return nil, fmt.Errorf("has the range %q, which ends before it begins", span)
		}
		for value := from; value <= to; value += every {
			set[value] = true
		}
	}
	return set, nil
}

func (f field) number(text string) (int, error) {
	if at := slices.Index(f.words, strings.ToUpper(text)); at >= 0 {
		return f.least + at, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < f.least || number > f.most {
		return 0, fmt.Errorf("has %q: known are *, numbers from %d to %d, lists, ranges and steps of them", text,
			f.least,
			f.most)
	}
	return number, nil
}

// distances looks at each day of cronYears, and in a day at its times.
func distances(sets []map[int]bool) (Schedule, error) {
	var times []time.Duration
	for hour := range maps.Keys(sets[1]) {
		for minute := range maps.Keys(sets[0]) {
			times = append(times, time.Duration(hour)*time.Hour+time.Duration(minute)*time.Minute)
		}
	}
	slices.Sort(times)
	found := Schedule{}
	note := func(gap time.Duration) {
		if found.longest == 0 || gap < found.shortest {
			found.shortest = gap
		}
		found.longest = max(found.longest, gap)
	}
	var last time.Time
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := begin; day.Before(begin.AddDate(cronYears, 0, 0)); day = day.AddDate(0, 0, 1) {
		if !sets[2][day.Day()] || !sets[3][int(day.Month())] || !sets[4][int(day.Weekday())+1] {
			continue
		}
		for _, at := range times {
			next := day.Add(at)
			if !last.IsZero() {
				note(next.Sub(last))
			}
			last = next
		}
	}
	if found.longest == 0 {
		return Schedule{}, errors.New("no day is among those that it names")
	}
	return found, nil
}
