package stacks

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"

	"diecast/config"
	"diecast/constructs/alarmtopic"
	"diecast/constructs/privatenetwork"
	"diecast/constructs/regionrule"
	"diecast/constructs/securebucket"
	"diecast/constructs/servicelinkedrole"
	"diecast/internal/deployment/outputs"
)

// Network is the VPC that the platform lives in, and what every other stack
// shares: the alarm topic and the bucket of access logs.
type Network struct {
	*privatenetwork.Network
	Stack      awscdk.Stack
	AlarmTopic awssns.ITopic
	// AccessLogs is nil where the profile keeps no access logs.
	AccessLogs awss3.IBucket
}

// NewNetwork adds the stack.
func NewNetwork(app constructs.Construct, cfg config.Config) *Network {
	stack := newStack(app, cfg, outputs.Network, "VPC, endpoints, flow log and the alarm topic")
	n := &Network{Stack: stack}
	n.Network = privatenetwork.New(stack, "Network", privatenetwork.Props{
		CIDR:             cfg.Network.CIDR,
		NAT:              privatenetwork.NAT(cfg.Network.NAT),
		NATGateways:      cfg.Network.NATGateways,
		SessionManager:   cfg.Network.SessionManager,
		EndpointPerZone:  cfg.Network.EndpointPerZone,
		DatabasePorts:    databasePorts(cfg),
		FlowLogRetention: logRetention(cfg.Network.FlowLogRetentionDays),
	})
	addRegionRules(stack, cfg)
	topic := alarmtopic.New(stack, "Alarms", alarmtopic.Props{
		Email: cfg.Alarms.Email, Rules: []string{failureRule(cfg)},
	})
	n.AlarmTopic = topic.Topic()
	servicelinkedrole.New(stack, "ServiceRoles", servicelinkedrole.Props{
		Services:     serviceRoles,
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
	})
	output(stack, outputs.VPCID, n.VPC().VpcId())
	output(stack, outputs.AlarmTopicARN, n.AlarmTopic.TopicArn())
	// The bucket and its export are there without access logs, too, and empty: an
	// export must stand before a stack imports it, and until none does.
	logs := securebucket.New(stack, "AccessLogs", securebucket.Props{
		Expiries:           []securebucket.Expiry{{After: days(cfg.Data.AccessLogRetentionDays)}},
		Destroy:            cfg.DestroysData(),
		ReceivesAccessLogs: true,
	})
	stack.ExportValue(logs.Name(), nil)
	if cfg.Data.AccessLogs {
		n.AccessLogs = logs.Bucket()
	}
	output(stack, outputs.AccessLogsBucketName, logs.Name())
	return n
}

// addRegionRules has CloudFormation refuse a region that lacks something before it creates
// anything.
func addRegionRules(stack awscdk.Stack, cfg config.Config) {
	known, err := cfg.RegionsWithAuthorities()
	if err != nil {
		panic(err)
	}
	regionrule.New(stack, "RegionWithAuthorities", regionrule.Props{
		Regions: known, Otherwise: config.LacksAuthorities,
	})
	regionrule.New(stack, "RegionWithFunctionUrls", regionrule.Props{
		Regions: cfg.RegionsWithFunctionURLs(), Otherwise: config.LacksFunctionURLs,
	})
	regionrule.New(stack, "RegionWithDatabases", regionrule.Props{
		Regions: cfg.RegionsWithDatabases(), Otherwise: cfg.LacksDatabases(),
	})
}

// serviceRoles are of services that later stacks use; minutes lie between. Spot's is there in every
// profile, so that turning web.spotAboveMinimum on finds it.
var serviceRoles = []string{
	"rds.amazonaws.com", "elasticloadbalancing.amazonaws.com", "autoscaling.amazonaws.com", "spot.amazonaws.com",
}

// unlogged is why buckets log no access in a profile that keeps no access logs.
const unlogged = "The profile leaves access logs out for their cost; CloudTrail data events can be turned on " +
	"when an investigation needs them."

// databasePorts are the ports of every engine that the platform's databases run, each once.
func databasePorts(cfg config.Config) []int {
	ports := []int{vectorsEngine(cfg).Port(), sourceEngine(cfg).Port()}
	slices.Sort(ports)
	return slices.Compact(ports)
}
