// Package regionrule has CloudFormation refuse to create or update a stack in a region that it
// cannot run in, before it touches any resource. It must not know what the region lacks.
package regionrule

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Props configures a rule.
type Props struct {
	// Regions are those in which the stack may stand, by code. Required.
	Regions []string
	// Otherwise is what CloudFormation says in every other region: what it lacks, and what to do.
	// Required.
	Otherwise string
}

// New makes the rule at id in scope. It is an entry of the template's section Rules, whose
// assertions are evaluated before any resource is created or updated (CloudFormation user guide,
// "Rules syntax"), and admit the pseudo parameter AWS::Region.
func New(scope constructs.Construct, id string, p Props) {
	if len(p.Regions) == 0 || p.Otherwise == "" {
		panic("regionrule: Regions and Otherwise are required, got less; a rule without them admits nobody, " +
			"or tells nobody why")
	}
	awscdk.NewCfnRule(scope, jsii.String(id), &awscdk.CfnRuleProps{
		Assertions: &[]*awscdk.CfnRuleAssertion{{
			Assert:            awscdk.Fn_ConditionContains(jsii.Strings(p.Regions...), awscdk.Aws_REGION()),
			AssertDescription: jsii.String(p.Otherwise),
		}},
	})
}
