package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"diecast/internal/local/platform"
)

// listPosition is the place within a list in a property's path.
var listPosition = regexp.MustCompile(`\[\d+\]`)

// showIgnored tells what a run does not honour: type by type, the properties with the same reason
// in one line, and of how many resources.
func showIgnored(to io.Writer, all []platform.Ignored) error {
	if len(all) == 0 {
		return nil
	}
	type row struct{ kind, reason string }
	properties, resources := map[row]map[string]bool{}, map[row]map[string]bool{}
	for _, one := range all {
		key := row{strings.TrimPrefix(one.Type, "AWS::"), one.Reason}
		if properties[key] == nil {
			properties[key], resources[key] = map[string]bool{}, map[string]bool{}
		}
		properties[key][listPosition.ReplaceAllString(one.Property, "[]")] = true
		resources[key][one.Resource] = true
	}
	rows := slices.SortedFunc(maps.Keys(properties), func(a, b row) int {
		return strings.Compare(a.kind+"\n"+a.reason, b.kind+"\n"+b.reason)
	})
	fmt.Fprintf(to, "  %d properties of the templates are ignored here, by type and number of resources:\n", len(all))
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for i, key := range rows {
		if i == 0 || rows[i-1].kind != key.kind {
			fmt.Fprintf(table, "  %s\n", key.kind)
		}
		names := strings.Join(slices.Sorted(maps.Keys(properties[key])), ", ")
		fmt.Fprintf(table, "    %d×\t%s: %s\n", len(resources[key]), names, key.reason)
	}
	return table.Flush()
}
