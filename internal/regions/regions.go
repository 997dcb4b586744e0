// Package regions lists AWS's commercial regions and what Lambda and RDS lack in some of
// them. It asks
// nobody: a region that opens, or gets what it lacked, is a line here.
package regions

import (
	"slices"
	"strings"
)

// Region is a commercial region.
type Region struct {
	// Code is what the CLI takes, such as us-east-1.
	Code string
	// Name is the console's.
	Name string
	// FunctionURLs says that Lambda functions can have URLs there (Lambda developer guide,
	// "Creating and managing Lambda function URLs", which names the regions without) and
	// CloudFormation can make them (cfn-lint's copy of the region's registry has AWS::Lambda::Url).
	FunctionURLs bool
	// LacksDatabases are the families of database classes, of those that the configuration offers,
	// that RDS has not there for PostgreSQL and MySQL (cfn-lint's lists of classes by region).
	LacksDatabases []string
}

// HasDatabase says whether RDS has the class there, such as db.t4g.micro.
func (r Region) HasDatabase(class string) bool {
	family := class[:max(0, strings.LastIndex(class, "."))]
	return !slices.Contains(r.LacksDatabases, family)
}

// Commercial are the regions of the partition aws, by code.
var Commercial = []Region{
	{"af-south-1", "Cape Town", true, []string{"db.m7g", "db.r7g"}},
	{"ap-east-1", "Hong Kong", true, []string{"db.m7g"}},
	{"ap-east-2", "Taipei", false, nil},
	{"ap-northeast-1", "Tokyo", true, nil},
	{"ap-northeast-2", "Seoul", true, nil},
	{"ap-northeast-3", "Osaka", true, nil},
	{"ap-south-1", "Mumbai", true, nil},
	{"ap-south-2", "Hyderabad", false, nil},
	{"ap-southeast-1", "Singapore", true, nil},
	{"ap-southeast-2", "Sydney", true, nil},
	{"ap-southeast-3", "Jakarta", true, nil},
	{"ap-southeast-4", "Melbourne", false, []string{"db.r7g"}},
	{"ap-southeast-5", "Malaysia", false, nil},
	{"ap-southeast-6", "New Zealand", false, nil},
	{"ap-southeast-7", "Thailand", false, nil},
	{"ca-central-1", "Canada, Central", true, nil},
	{"ca-west-1", "Calgary", false, []string{"db.t4g", "db.m7g"}},
	{"eu-central-1", "Frankfurt", true, nil},
	{"eu-central-2", "Zurich", false, nil},
	{"eu-north-1", "Stockholm", true, nil},
	{"eu-south-1", "Milan", true, []string{"db.m7g"}},
	{"eu-south-2", "Spain", false, nil},
	{"eu-west-1", "Ireland", true, nil},
	{"eu-west-2", "London", true, nil},
	{"eu-west-3", "Paris", true, []string{"db.r7g"}},
	{"il-central-1", "Tel Aviv", false, nil},
	{"me-central-1", "UAE", false, []string{"db.r7g"}},
	{"me-south-1", "Bahrain", true, nil},
	{"mx-central-1", "Mexico, Central", false, nil},
	{"sa-east-1", "São Paulo", true, nil},
	{"us-east-1", "N. Virginia", true, nil},
	{"us-east-2", "Ohio", true, nil},
	{"us-west-1", "N. California", true, nil},
	{"us-west-2", "Oregon", true, nil},
}
