package config

import (
	"cmp"
	"fmt"
	"strings"
)

// Markdown is the table of every key that docs/configuration.md shows.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| Key | Type | " + strings.Join(profiles, " | ") + " | Allowed | Meaning |\n")
	b.WriteString("| --- |" + strings.Repeat(" --- |", len(profiles)+3) + "\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` | %s |", k.Name, k.Type)
		for _, profile := range profiles {
			fmt.Fprintf(&b, " %s |", cmp.Or(k.Default(profile), "none"))
		}
		fmt.Fprintf(&b, " %s | %s |\n", k.Allowed, k.Meaning)
	}
	return b.String()
}
