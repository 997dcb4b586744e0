package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"diecast/internal/awsdb/certificates"
	"diecast/internal/regions"
)

// Messages of what a region lacks, with what to do.
const (
	LacksAuthorities = "no certificate authority of its RDS is known: download AWS's bundle of the region and name " +
		"it in databases.certificateAuthorities (docs/deploying.md, Regions)"
	LacksFunctionURLs = "Lambda has no function URLs there: set inference.url=false"
)

// RegionsWithAuthorities are the commercial regions of which the programs can know the databases.
// All of them, where databases.certificateAuthorities has an authority that names no region.
func (c Config) RegionsWithAuthorities() ([]string, error) {
	further, err := c.FurtherAuthorities()
	if err != nil {
		return nil, fmt.Errorf("databases.certificateAuthorities: %w", err)
	}
	known, unnamed := certificates.Regions(certificates.With(further))
	return codes(func(r regions.Region) bool { return len(unnamed) != 0 || slices.Contains(known, r.Code) }), nil
}

// RegionsWithFunctionURLs are those in which inference can have its URL, all commercial ones where
// inference.url is off.
func (c Config) RegionsWithFunctionURLs() []string {
	return codes(func(r regions.Region) bool { return r.FunctionURLs || !c.Inference.URL })
}

// RegionsWithDatabases are those in which RDS has the classes of both databases.
func (c Config) RegionsWithDatabases() []string {
	return codes(func(r regions.Region) bool {
		return r.HasDatabase(c.Vectors.InstanceClass) && r.HasDatabase(c.Source.InstanceClass)
	})
}

// LacksDatabases is the message of a region that is none of RegionsWithDatabases.
func (c Config) LacksDatabases() string {
	return fmt.Sprintf("RDS has not both classes there, vectors.instanceClass=%s and source.instanceClass=%s: set "+
		"them to classes of another family, such as db.t3.medium (docs/deploying.md, Regions)", c.Vectors.InstanceClass,
		c.Source.InstanceClass)
}

func codes(admitted func(regions.Region) bool) []string {
	var all []string
	for _, region := range regions.Commercial {
		if admitted(region) {
			all = append(all, region.Code)
		}
	}
	return all
}

// RegionNotices tell why a deployment to a region would be refused, one line each. An empty region
// is one that nobody knows yet.
func (c Config) RegionNotices(region string) []string {
	if region == "" {
		return nil
	}
	if !slices.ContainsFunc(regions.Commercial, func(r regions.Region) bool { return r.Code == region }) {
		return []string{fmt.Sprintf("CloudFormation will refuse to deploy to %s: it is none of AWS's commercial "+
			"regions that are known here (docs/deploying.md, Regions)", region)}
	}
	var notices []string
	notice := func(lacks string) {
		notices = append(notices, fmt.Sprintf("CloudFormation will refuse to deploy to %s: %s", region, lacks))
	}
	// A file that cannot be read was refused with the configuration.
	if known, err := c.RegionsWithAuthorities(); err == nil && !slices.Contains(known, region) {
		notice(LacksAuthorities)
	}
	if !slices.Contains(c.RegionsWithFunctionURLs(), region) {
		notice(LacksFunctionURLs)
	}
	if !slices.Contains(c.RegionsWithDatabases(), region) {
		notice(c.LacksDatabases())
	}
	return notices
}

// RegionsMarkdown is the table of docs/deploying.md: what each region asks to be set.
func RegionsMarkdown() string {
	embedded, _ := certificates.Regions(certificates.RDS)
	var b strings.Builder
	b.WriteString("| Region | Name | What to set | Database classes that RDS lacks |\n| --- | --- | --- | --- |\n")
	for _, region := range regions.Commercial {
		var set []string
		if !slices.Contains(embedded, region.Code) {
			set = append(set, "`databases.certificateAuthorities`")
		}
		if !region.FunctionURLs {
			set = append(set, "`inference.url=false`")
		}
		var lacks []string
		for _, family := range region.LacksDatabases {
			lacks = append(lacks, "`"+family+".*`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", region.Code, region.Name,
			cmp.Or(strings.Join(set, ", "), "nothing"), strings.Join(lacks, ", "))
	}
	return b.String()
}
