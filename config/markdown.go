package config

import (
	"fmt"
	"strings"
)

// Markdown is the table of every key that the README shows.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Key | " + strings.Join(profiles, " | ") + " | Allowed | Meaning |\n")
	b.WriteString("| --- |" + strings.Repeat(" --- |", len(profiles)+2) + "\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` |", k.Name)
		for _, profile := range profiles {
			fmt.Fprintf(&b, " %s |", k.Default(profile))
		}
		fmt.Fprintf(&b, " %s | %s |\n", k.Allowed, k.Meaning)
	}
	return b.String()
}
