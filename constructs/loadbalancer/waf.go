package loadbalancer

import (
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awswafv2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// protect puts WAF before the balancer: first the limits of an address, so that a flood costs no
// further rules, then AWS's common rules.
func protect(scope constructs.Construct, balancer elb.ApplicationLoadBalancer, p Props) {
	seen := func(metric string) *awswafv2.CfnWebACL_VisibilityConfigProperty {
		return &awswafv2.CfnWebACL_VisibilityConfigProperty{
			CloudWatchMetricsEnabled: jsii.Bool(true), MetricName: jsii.String(metric),
			// Sampled requests hold addresses and cookies of people.
			SampledRequestsEnabled: jsii.Bool(false),
		}
	}
	acl := awswafv2.NewCfnWebACL(scope, jsii.String("Firewall"), &awswafv2.CfnWebACLProps{
		Scope:            jsii.String("REGIONAL"),
		Description:      jsii.String("Common rules and a limit of requests for each address"),
		DefaultAction:    &awswafv2.CfnWebACL_DefaultActionProperty{Allow: map[string]any{}},
		VisibilityConfig: seen("All"),
		Rules:            rules(p, seen),
	})
	awswafv2.NewCfnWebACLAssociation(scope, jsii.String("FirewallAssociation"), &awswafv2.CfnWebACLAssociationProps{
		ResourceArn: balancer.LoadBalancerArn(), WebAclArn: acl.AttrArn(),
	})
}

// rules are in the order in which they are looked at.
func rules(p Props, seen func(string) *awswafv2.CfnWebACL_VisibilityConfigProperty,
) *[]*awswafv2.CfnWebACL_RuleProperty {
	limit := func(name, metric string, requests int, where *awswafv2.CfnWebACL_StatementProperty,
	) *awswafv2.CfnWebACL_RuleProperty {
		return &awswafv2.CfnWebACL_RuleProperty{
			Name:   jsii.String(name),
			Action: &awswafv2.CfnWebACL_RuleActionProperty{Block: map[string]any{}},
			Statement: &awswafv2.CfnWebACL_StatementProperty{
				RateBasedStatement: &awswafv2.CfnWebACL_RateBasedStatementProperty{
					AggregateKeyType: jsii.String("IP"), Limit: jsii.Number(requests),
					EvaluationWindowSec: jsii.Number(300), ScopeDownStatement: where,
				},
			},
			VisibilityConfig: seen(metric),
		}
	}
	var all []*awswafv2.CfnWebACL_RuleProperty
	if t := p.Token; t != nil && t.RequestsPerAddress > 0 {
		below := pathIs("STARTS_WITH", t.Prefix)
		all = append(all,
			limit("requests-per-address", "RequestsPerAddress", p.RequestsPerAddress, butFor(below)),
			limit("requests-per-address-by-token", "RequestsPerAddressByToken", t.RequestsPerAddress, below))
	} else {
		all = append(all, limit("requests-per-address", "RequestsPerAddress", p.RequestsPerAddress, nil))
	}
	all = append(all, &awswafv2.CfnWebACL_RuleProperty{
		Name:           jsii.String("common"),
		OverrideAction: &awswafv2.CfnWebACL_OverrideActionProperty{None: map[string]any{}},
		Statement: &awswafv2.CfnWebACL_StatementProperty{
			ManagedRuleGroupStatement: &awswafv2.CfnWebACL_ManagedRuleGroupStatementProperty{
				VendorName: jsii.String("AWS"), Name: jsii.String("AWSManagedRulesCommonRuleSet"),
				ScopeDownStatement: butForTheCallback(p.Login),
			},
		},
		VisibilityConfig: seen("Common"),
	})
	for priority, rule := range all {
		rule.Priority = jsii.Number(priority)
	}
	return &all
}

// callback is where the provider sends people back to with what the balancer asked for, and no
// target sees it (Elastic Load Balancing user guide, "Authenticate users").
const callback = "/oauth2/idpresponse"

// butForTheCallback keeps the common rules from what a provider writes there: addresses such as
// Google's scope=https://..., which they take for the inclusion of a remote file
// (GenericRFI_QUERYARGUMENTS), and codes longer than a query may be (SizeRestrictions_QUERYSTRING).
func butForTheCallback(login *Login) *awswafv2.CfnWebACL_StatementProperty {
	if login == nil {
		return nil
	}
	return butFor(pathIs("EXACTLY", callback))
}

// pathIs takes the requests whose path, as it was sent, compares with a text.
func pathIs(how, text string) *awswafv2.CfnWebACL_StatementProperty {
	return &awswafv2.CfnWebACL_StatementProperty{
		ByteMatchStatement: &awswafv2.CfnWebACL_ByteMatchStatementProperty{
			FieldToMatch:         &awswafv2.CfnWebACL_FieldToMatchProperty{UriPath: map[string]any{}},
			PositionalConstraint: jsii.String(how), SearchString: jsii.String(text),
			TextTransformations: &[]*awswafv2.CfnWebACL_TextTransformationProperty{
				{Priority: jsii.Number(0), Type: jsii.String("NONE")},
			},
		},
	}
}

// butFor takes all other requests.
func butFor(these *awswafv2.CfnWebACL_StatementProperty) *awswafv2.CfnWebACL_StatementProperty {
	return &awswafv2.CfnWebACL_StatementProperty{
		NotStatement: &awswafv2.CfnWebACL_NotStatementProperty{Statement: these},
	}
}
