// Package regions lists AWS's commercial regions and what Lambda lacks in some of them. It asks
// nobody: a region that opens, or gets what it lacked, is a line here.
package regions

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
}

// Commercial are the regions of the partition aws, by code.
var Commercial = []Region{
	{"af-south-1", "Cape Town", true},
	{"ap-east-1", "Hong Kong", true},
	{"ap-east-2", "Taipei", false},
	{"ap-northeast-1", "Tokyo", true},
	{"ap-northeast-2", "Seoul", true},
	{"ap-northeast-3", "Osaka", true},
	{"ap-south-1", "Mumbai", true},
	{"ap-south-2", "Hyderabad", false},
	{"ap-southeast-1", "Singapore", true},
	{"ap-southeast-2", "Sydney", true},
	{"ap-southeast-3", "Jakarta", true},
	{"ap-southeast-4", "Melbourne", false},
	{"ap-southeast-5", "Malaysia", false},
	{"ap-southeast-6", "New Zealand", false},
	{"ap-southeast-7", "Thailand", false},
	{"ca-central-1", "Canada, Central", true},
	{"ca-west-1", "Calgary", false},
	{"eu-central-1", "Frankfurt", true},
	{"eu-central-2", "Zurich", false},
	{"eu-north-1", "Stockholm", true},
	{"eu-south-1", "Milan", true},
	{"eu-south-2", "Spain", false},
	{"eu-west-1", "Ireland", true},
	{"eu-west-2", "London", true},
	{"eu-west-3", "Paris", true},
	{"il-central-1", "Tel Aviv", false},
	{"me-central-1", "UAE", false},
	{"me-south-1", "Bahrain", true},
	{"mx-central-1", "Mexico, Central", false},
	{"sa-east-1", "São Paulo", true},
	{"us-east-1", "N. Virginia", true},
	{"us-east-2", "Ohio", true},
	{"us-west-1", "N. California", true},
	{"us-west-2", "Oregon", true},
}
