// Package nag records why a cdk-nag finding does not apply to one resource.
// The record stands beside the resource, in the construct that makes it, and
// ends up in the template's metadata. It must not be used on a whole stack.
package nag

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
	"github.com/cdklabs/cdk-nag-go/cdknag/v2"
)

// Exception is one finding that was looked at and found not to apply.
type Exception struct {
	// Rule is the finding's id, such as AwsSolutions-IAM5.
	Rule string
	// Reason convinces a reader who does not know the project.
	Reason string
	// AppliesTo narrows the exception to granular findings, such as
	// "Action::s3:GetObject*". The IAM rules, which report them, require it or Matching.
	AppliesTo []string
	// Matching narrows it by JavaScript regular expressions over granular
	// findings, for resources whose name holds a logical id or an import.
	Matching []string
}

// ObjectsBelow accepts that a policy names a bucket's objects by key prefix.
func ObjectsBelow(prefix string) Exception {
	return Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "Objects are named by the program at run time; the statement is limited to one bucket and the prefix " +
			strconv.Quote(prefix) + ".",
		Matching: []string{"^Resource::.+/" + regexp.QuoteMeta(prefix) + `\*$`},
	}
}

// Accept adds the exceptions to one resource. For a role that is its default
// policy, where the findings about what it may do are reported; the policy must
// have a statement by then.
func Accept(construct constructs.IConstruct, exceptions ...Exception) {
	resource := construct
	if policy := construct.Node().TryFindChild(jsii.String("DefaultPolicy")); policy != nil {
		resource = policy
	}
	suppressions := make([]*cdknag.NagPackSuppression, 0, len(exceptions))
	for _, e := range exceptions {
		if (e.Rule == "AwsSolutions-IAM4" || e.Rule == "AwsSolutions-IAM5") && len(e.AppliesTo)+len(e.Matching) == 0 {
			panic(fmt.Sprintf("nag: %s at %s needs AppliesTo, got none; name each granular finding", e.Rule,
				*resource.Node().Path()))
		}
		suppression := &cdknag.NagPackSuppression{Id: jsii.String(e.Rule), Reason: jsii.String(e.Reason)}
		if findings := e.findings(); len(findings) > 0 {
			suppression.AppliesTo = &findings
		}
		suppressions = append(suppressions, suppression)
	}
	cdknag.NagSuppressions_AddResourceSuppressions(resource, &suppressions, jsii.Bool(false))
}

func (e Exception) findings() []any {
	findings := make([]any, 0, len(e.AppliesTo)+len(e.Matching))
	for _, finding := range e.AppliesTo {
		findings = append(findings, finding)
	}
	for _, pattern := range e.Matching {
		findings = append(findings,
			&cdknag.RegexAppliesTo{Regex: jsii.String("/" + strings.ReplaceAll(pattern, "/", `\/`) + "/")})
	}
	return findings
}
