// Package awswait says which of AWS's answers are final.
package awswait

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"diecast/internal/wait"
)

// again is what AWS's own clients try again.
var again = retry.NewStandard()

// Final says whether an error is an answer that asking again will not change: access is denied,
// what was asked for does not exist, the request is wrong. Throttling, answers that blame the
// service and connections that did not come about are not final, save those whose other side is not
// trusted. What a client would ask again, it has asked again before it returned the error.
func Final(err error) bool {
	if wait.Untrusted(err) {
		return true
	}
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		return false
	}
	return !again.IsErrorRetryable(err) && answer.ErrorFault() != smithy.FaultServer && !throttled(answer)
}

// throttled are answers that the SDK does not know as throttling, and are.
func throttled(answer smithy.APIError) bool { return answer.ErrorCode() == "KMSThrottlingException" }
