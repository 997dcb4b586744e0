package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"diecast/internal/local/ledger"
)

// staleAfter is how old the account of a run that is up may be before its age is told: a run writes
// one each second.
const staleAfter = 5 * time.Second

// showAccount tells where the records of each consumer are, and whether that adds up.
func showAccount(to io.Writer, account ledger.Account) error {
	const title = "records of"
	widest, pending := len(title), 0
	for _, c := range account.Consumers {
		widest, pending = max(widest, len(c.Name)), pending+c.Pending
	}
	row := func(name string, cells ...any) {
		fmt.Fprintf(to, "  %-*s", widest, name)
		for _, cell := range cells {
			fmt.Fprintf(to, "  %9v", cell)
		}
		fmt.Fprintln(to)
	}
	if len(account.Consumers) > 0 {
		row(title, "accepted", "archived", "delivered", "dropped", "discarded", "in error", "given up", "pending")
	}
	for _, c := range account.Consumers {
		row(c.Name, c.Accepted+c.Split, c.Archived, c.Delivered, c.Dropped, ledger.Sum(c.Discarded),
			ledger.Sum(c.InError), c.GivenUp, c.Pending)
	}
	for _, c := range account.Consumers {
		for _, kind := range []struct {
			name   string
			counts map[string]int
		}{{"in error", c.InError}, {"discarded", c.Discarded}} {
			for _, reason := range slices.Sorted(maps.Keys(kind.counts)) {
				fmt.Fprintf(to, "  %s: %d %s for %s\n", c.Name, kind.counts[reason], kind.name, reason)
			}
		}
		if c.Waiting != "" {
			fmt.Fprintf(to, "  %s: waits for %s\n", c.Name, c.Waiting)
		}
		if c.Split > 0 {
			fmt.Fprintf(to, "  %s: %d of the accepted came in aggregates with others\n", c.Name, c.Split)
		}
		if c.Repeated > 0 {
			fmt.Fprintf(to, "  %s: its function was asked again %d times, and may count what it dropped as often\n",
				c.Name, c.Repeated)
		}
	}
	for _, engine := range account.Engines {
		warning := ""
		if engine.Nearly() {
			warning = ": start the run anew before"
		}
		fmt.Fprintf(to, "  %s takes %d MiB of memory; from %d MiB on it refuses to store more%s\n", engine.Name,
			engine.Memory>>20, engine.Limit>>20, warning)
	}
	problems := account.Problems()
	for _, problem := range problems {
		fmt.Fprintf(to, "  does not add up: %s\n", problem)
	}
	if len(problems) > 0 || len(account.Consumers) == 0 {
		return nil
	}
	text := "all records are accounted for"
	if pending > 0 {
		text = "it adds up; what is pending is in the stream or under way"
	}
	_, err := fmt.Fprintln(to, "  "+text)
	return err
}

// showAge tells how old an account is that should be fresh.
func showAge(to io.Writer, account ledger.Account, now time.Time) {
	if age := now.Sub(account.At); age > staleAfter {
		fmt.Fprintf(to, "  as of %s ago: the run has told nothing since\n", age.Round(time.Second))
	}
}

// accountSummary is an account for machines.
type accountSummary struct {
	ledger.Account
	// Problems are why it does not add up.
	Problems []string `json:"problems"`
}

func summarised(account ledger.Account) accountSummary {
	return accountSummary{account, account.Problems()}
}

// closing tells the account of a run that has ended.
func (l *localRun) closing(account ledger.Account) error {
	if l.user.json {
		return json.NewEncoder(l.user.out).Encode(map[string]accountSummary{"account": summarised(account)})
	}
	return showAccount(l.user.out, account)
}
