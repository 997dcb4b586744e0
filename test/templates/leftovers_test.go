package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"diecast/test/accept"
)

// leftovers are the types of which something stays when a stack goes, with what that costs a month
// in us-east-1 (the services' price lists).
var leftovers = map[string]string{
	"AWS::S3::Bucket": "with its objects: 0.023 USD for each GiB, and for each of older versions; " +
		"what expires goes on expiring",
	"AWS::DynamoDB::GlobalTable": "with its rows, until they expire: 0.25 USD for each GiB, and 0.20 more with " +
		"`streaming.pointInTimeRecovery`",
	"AWS::Kinesis::Stream": "10.95 USD for each shard, 29.20 on demand, also when it is empty",
	"AWS::RDS::DBInstance": "a final snapshot: 0.095 USD for each GiB in it; automated backups, at that price, " +
		"until their retention ends",
}

// TestLeftovers_areDocumented writes what stays when the stacks go, by the templates.
func TestLeftovers_areDocumented(t *testing.T) {
	rows := map[string]bool{}
	for _, profile := range profiles {
		for id, r := range synth(t, "profile="+profile).all {
			if r.DeletionPolicy == "" || r.DeletionPolicy == "Delete" {
				continue
			}
			stack, _, _ := strings.Cut(id, "/")
			// The logical id without the hash at its end.
			name := strings.TrimPrefix(id[:len(id)-8], stack+"/")
			rows[fmt.Sprintf("| %s | %s | %s | %s |\n", stack, name, strings.TrimPrefix(r.Type, "AWS::"),
				leftovers[r.Type])] = true
		}
	}
	table := "| Stack | What | Type | What stays, and what it costs a month |\n| --- | --- | --- | --- |\n" +
		strings.Join(slices.Sorted(maps.Keys(rows)), "")
	accept.Region(t, deploying, "leftovers", table)
}
