// Package archive says where things lie in the bucket of archived recommendations: what the stack
// configures and what every reader of the bucket looks for. It reads nothing itself.
package archive

// The folders of the bucket.
const (
	// Recommendations holds recommendation records, one line of JSON each.
	Recommendations = "recommendations/"
	// Errors holds the records that were refused, as Firehose writes them; internal/erroroutput
	// reads them.
	Errors = "errors/"
	// Failures holds the invocation records of batches that a consumer gave up. Lambda chooses it:
	// it begins every key at an S3 on-failure destination (developer guide, "Retain discarded
	// batches").
	Failures = "aws/lambda/"
)
