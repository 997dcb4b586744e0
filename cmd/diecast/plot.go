package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"diecast/internal/demand"
	"diecast/internal/local/demonstration"
)

// The kinds of demand.
const (
	profileSteady = "steady"
	profileSpike  = "spike"
)

// profileMeaning explains the flag.
const profileMeaning = "of the demand: steady, or spike, a sale that makes five times the usual demand within two " +
	"hours and decays over two days, compressed into the run"

// profileOf is a kind of demand by its name.
func profileOf(name string, rate float64, duration time.Duration) (demand.Profile, error) {
	switch name {
	case profileSteady:
		return demand.Steady(rate, duration), nil
	case profileSpike:
		return demand.Spike(rate, duration), nil
	}
	return demand.Profile{}, fmt.Errorf("--profile %q is unknown: steady or spike", name)
}

const (
	// plotRows and plotWidth bound a plot, in lines and in characters of its longest bar.
	plotRows  = 24
	plotWidth = 40
)

// bar of a value in a plot whose largest value is most; what is above 0 has a mark.
func bar(value, most float64) string {
	if value <= 0 || most <= 0 {
		return ""
	}
	return strings.Repeat("#", max(1, int(math.Round(value/most*plotWidth))))
}

// showProfile plots a demand over its time.
func showProfile(to io.Writer, profile demand.Profile) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	step := profile.Duration / plotRows
	fmt.Fprintln(table, "after\tin the shop\tevents/s\t")
	most := profile.Rate
	if profile.Compressed > 0 {
		most *= demand.Peak
	}
	for n := range plotRows {
		from := time.Duration(n) * step
		shop := "-"
		if profile.Compressed > 0 {
			shop = fmt.Sprintf("%.1f h", from.Hours()*profile.Compressed)
		}
		rate := (profile.By(from+step) - profile.By(from)) / step.Seconds()
		fmt.Fprintf(table, "%.1f s\t%s\t%.4g\t%s\n", from.Seconds(), shop, rate, bar(rate, most))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	compressed := ""
	if profile.Compressed > 0 {
		compressed = fmt.Sprintf("; the shop's time runs %.0f times faster", profile.Compressed)
	}
	_, err := fmt.Fprintf(to, "%s events in %s%s\n", grouped(int64(profile.Events())), profile.Duration, compressed)
	return err
}

// showFlow plots what happened while events were sent. Where there are more seconds than lines, a
// line has several of them: their mean demand, and the largest lag and p99.
func showFlow(to io.Writer, flow []demonstration.Second) error {
	if len(flow) < 2 {
		return nil
	}
	each := (len(flow) + plotRows - 1) / plotRows
	type line struct {
		at       int
		rate     float64
		lag, p99 time.Duration
	}
	var lines []line
	most := 0.0
	for at := 0; at < len(flow); at += each {
		some := flow[at:min(at+each, len(flow))]
		one := line{at: at}
		for _, second := range some {
			one.rate += float64(second.In) / float64(len(some))
			one.lag, one.p99 = max(one.lag, second.Lag), max(one.p99, second.P99)
		}
		lines, most = append(lines, one), max(most, one.rate)
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "Second\tlag\tp99\tevents/s in")
	for _, one := range lines {
		fmt.Fprintf(table, "  %d\t%s\t%s\t%.0f\t%s\n", one.at, rounded(one.lag), rounded(one.p99), one.rate,
			bar(one.rate, most))
	}
	fmt.Fprintln(table)
	return table.Flush()
}
