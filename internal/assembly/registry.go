package assembly

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Fate is what becomes of a resource on a laptop.
type Fate string

const (
	// Run: an engine of the laptop stands in for it, held to the properties that the typed form
	// names.
	Run Fate = "run"
	// Checked: nothing is created; cfn-lint validates its properties, its intrinsics are evaluated,
	// and a stand-in answers Ref and Fn::GetAtt.
	Checked Fate = "checked"
)

// kind is what the registry knows of a resource type.
type kind struct {
	fate Fate
	// reason says why a checked type is not executed, or one without a fate is refused.
	reason string
	// arn says that Ref of a checked type is an ARN.
	arn bool
	// attributes are those that the laptop knows of a type that runs; open ones are the handler's
	// own.
	attributes []string
	open       bool
	// decode yields a pointer to the typed form.
	decode func(*object) any
	typed  reflect.Type
}

func (k kind) hasAttribute(name string) bool { return k.open || slices.Contains(k.attributes, name) }

func run[T any](decode func(*object) *T, attributes ...string) kind {
	return kind{
		fate: Run, attributes: attributes,
		decode: func(o *object) any { return decode(o) }, typed: reflect.TypeFor[T](),
	}
}

// running is a type that runs and whose attributes are its handler's own.
func running[T any](decode func(*object) *T) kind {
	open := run(decode)
	open.open = true
	return open
}

// TypesThatRun are the resource types that are run on a laptop, with the struct to which Decode
// points for each. The type Custom:: stands for all whose name begins so.
func TypesThatRun() map[string]reflect.Type {
	types := map[string]reflect.Type{}
	for name, entry := range registry {
		if entry.fate == Run {
			types[name] = entry.typed
		}
	}
	return types
}

func checked(reason string) kind { return kind{fate: Checked, reason: reason} }

// checkedARN is for types whose Ref is an ARN.
func checkedARN(reason string) kind { return kind{fate: Checked, reason: reason, arn: true} }

// refused is for types that would change what the laptop's engines do.
func refused(reason string) kind { return kind{reason: reason} }

const (
	noNetwork     = "a laptop has no VPC: every process listens on 127.0.0.1 only"
	noPermissions = "the laptop's engines check no permissions"
	noMetrics     = "nothing publishes CloudWatch metrics on a laptop"
	noLogService  = "functions and engines log into files of the run"
	ownServer     = "the laptop's database server has settings of its own"
	noScaling     = "a group keeps its smallest size on a laptop"
	noInstances   = "a laptop's instances are processes of the group's program"
	noAlarms      = "a laptop raises no alarms"
	noCatalogue   = "a laptop has no catalogue: the lake's tables are read by their files"
	noEvents      = "nothing sends events to EventBridge on a laptop"

	functionType       = "AWS::Lambda::Function"
	customResourceType = "AWS::CloudFormation::CustomResource"
	customResourceMark = "Custom::"
)

// registry gives every resource type its fate. A type that is not here is a problem that Plan
// names: decide what it means on a laptop, and add a line.
var registry = map[string]kind{
	"AWS::AutoScaling::AutoScalingGroup":    run(decodeServerGroup),
	"AWS::DynamoDB::GlobalTable":            run(decodeTable, "Arn"),
	"AWS::ElasticLoadBalancingV2::Listener": run(decodeListener, "ListenerArn"),
	"AWS::ElasticLoadBalancingV2::LoadBalancer": run(decodeLoadBalancer,
		"DNSName", "LoadBalancerArn", "LoadBalancerFullName", "LoadBalancerName"),
	"AWS::ElasticLoadBalancingV2::ListenerRule": refused("got a rule, want none: a laptop has nobody who verifies " +
		"tokens, and its balancer treats all requests alike; leave web.jwt.* out"),
	"AWS::ElasticLoadBalancingV2::TargetGroup": run(decodeTargetGroup,
		"TargetGroupArn", "TargetGroupFullName", "TargetGroupName"),
	"AWS::Glue::Job":       run(decodeJob),
	"AWS::Kinesis::Stream": run(decodeStream, "Arn"),
	"AWS::Kinesis::StreamConsumer": run(decodeStreamConsumer,
		"ConsumerARN", "ConsumerCreationTimestamp", "ConsumerName", "ConsumerStatus", "StreamARN"),
	"AWS::KinesisFirehose::DeliveryStream": run(decodeDeliveryStream, "Arn"),
	"AWS::Lambda::EventSourceMapping":      run(decodeEventSourceMapping, "Id", "EventSourceMappingArn"),
	functionType:                           run(decodeFunction, "Arn"),
	"AWS::Lambda::Url":                     run(decodeFunctionURL, "FunctionArn", "FunctionUrl"),
	"AWS::RDS::DBInstance": run(decodeDatabase,
		"DBInstanceArn", "DbiResourceId", "Endpoint.Address", "Endpoint.Port", "MasterUserSecret.SecretArn"),
	"AWS::S3::Bucket":                  run(decodeBucket, "Arn", "DomainName", "RegionalDomainName"),
	"AWS::SecretsManager::Secret":      run(decodeSecret, "Id"),
	"AWS::SNS::Topic":                  run(decodeTopic, "TopicArn", "TopicName"),
	"AWS::StepFunctions::StateMachine": run(decodeStateMachine, "Arn", "Name"),

	customResourceType:             running(decodeCustomResource),
	customResourceMark:             running(decodeCustomResource), // all of Custom::*, but for these:
	"Custom::LogRetention":         checked(noLogService),
	"Custom::ServiceLinkedRole":    checked(noPermissions),
	"Custom::S3AutoDeleteObjects":  checked("the laptop's buckets go with the run's folder"),
	"Custom::VpcRestrictDefaultSG": checked(noNetwork),

	"AWS::CloudWatch::Alarm":          checked(noMetrics),
	"AWS::CloudWatch::CompositeAlarm": checked(noMetrics),
	"AWS::CloudWatch::Dashboard":      checked(noMetrics),
	"AWS::SNS::Subscription":          checkedARN(noAlarms),
	"AWS::SNS::TopicPolicy":           checked(noAlarms),
	"AWS::Events::Rule":               checked(noEvents),
	"AWS::Scheduler::Schedule":        checked("nothing starts by the clock on a laptop"),
	"AWS::Logs::LogGroup":             checked(noLogService),
	"AWS::Logs::LogStream":            checked(noLogService),
	"AWS::Logs::MetricFilter":         checked(noMetrics),

	"AWS::IAM::InstanceProfile":           checked(noPermissions),
	"AWS::IAM::ManagedPolicy":             checkedARN(noPermissions),
	"AWS::IAM::Policy":                    checked(noPermissions),
	"AWS::IAM::Role":                      checked(noPermissions),
	"AWS::Lambda::Permission":             checked(noPermissions),
	"AWS::S3::BucketPolicy":               checked(noPermissions),
	"AWS::SecretsManager::ResourcePolicy": checked(noPermissions),

	"AWS::Athena::NamedQuery":          checked(noCatalogue),
	"AWS::Athena::WorkGroup":           checked(noCatalogue),
	"AWS::Glue::Connection":            checked(noNetwork),
	"AWS::Glue::DataQualityRuleset":    checked(noCatalogue),
	"AWS::Glue::Database":              checked(noCatalogue),
	"AWS::Glue::SecurityConfiguration": checked(noEncryption),
	"AWS::Glue::Table":                 checked(noCatalogue),

	"AWS::AutoScaling::ScalingPolicy": checkedARN(noScaling),
	"AWS::EC2::LaunchTemplate":        checked(noInstances),
	"AWS::WAFv2::WebACL":              checked(noNetwork),
	"AWS::WAFv2::WebACLAssociation":   checked(noNetwork),

	"AWS::EC2::EIP":                         checked(noNetwork),
	"AWS::EC2::FlowLog":                     checked(noNetwork),
	"AWS::EC2::Instance":                    checked(noNetwork),
	"AWS::EC2::InternetGateway":             checked(noNetwork),
	"AWS::EC2::NatGateway":                  checked(noNetwork),
	"AWS::EC2::NetworkAcl":                  checked(noNetwork),
	"AWS::EC2::NetworkAclEntry":             checked(noNetwork),
	"AWS::EC2::Route":                       checked(noNetwork),
	"AWS::EC2::RouteTable":                  checked(noNetwork),
	"AWS::EC2::SecurityGroup":               checked(noNetwork),
	"AWS::EC2::SecurityGroupEgress":         checked(noNetwork),
	"AWS::EC2::SecurityGroupIngress":        checked(noNetwork),
	"AWS::EC2::Subnet":                      checked(noNetwork),
	"AWS::EC2::SubnetNetworkAclAssociation": checked(noNetwork),
	"AWS::EC2::SubnetRouteTableAssociation": checked(noNetwork),
	"AWS::EC2::VPC":                         checked(noNetwork),
	"AWS::EC2::VPCEndpoint":                 checked(noNetwork),
	"AWS::EC2::VPCGatewayAttachment":        checked(noNetwork),
	"AWS::RDS::DBParameterGroup":            checked(ownServer),
	"AWS::RDS::OptionGroup":                 checked(ownServer),
	"AWS::RDS::DBSubnetGroup":               checked(noNetwork),
}

// settle gives a resource its fate.
func (r *Resource) settle() {
	found, ok := registry[r.Type]
	if !ok && strings.HasPrefix(r.Type, customResourceMark) {
		found, ok = registry[customResourceMark]
	}
	if !ok {
		r.Reason = fmt.Sprintf("the resource type %s has no fate: say in internal/assembly/registry.go whether it "+
			"is run or only checked", r.Type)
		return
	}
	if r.Type == functionType {
		if reason := ownFunction(r); reason != "" {
			found = checked(reason)
		}
	}
	r.kind, r.Fate, r.Reason = found, found.fate, found.reason
}

// standInPrefix begins every stand-in that is not an ARN.
const standInPrefix = "checked:"

var (
	arnAttribute = regexp.MustCompile(`(^|\.)[A-Za-z]*(Arn|ARN)$`)
	// arnServices are the services whose name in an ARN is not their name in resource types, in
	// lower case.
	arnServices = map[string]string{
		"certificatemanager": "acm", "kinesisfirehose": "firehose", "stepfunctions": "states",
	}
)

// standIn is what answers Ref (attribute is empty) and Fn::GetAtt of a resource that is only
// checked; the package's comment shows its forms. ARNs have the partition, region (IAM has none)
// and account of the stack.
func standIn(resource *Resource, attribute string, environment Environment) string {
	if attribute == "" && !resource.kind.arn || attribute != "" && !arnAttribute.MatchString(attribute) {
		name := standInPrefix + resource.String()
		if attribute != "" {
			name += "." + attribute
		}
		return name
	}
	parts := strings.Split(resource.Type, "::")
	service := strings.ToLower(parts[1]) // every type of the registry has one
	if other, ok := arnServices[service]; ok {
		service = other
	}
	region := environment.Region
	if service == "iam" {
		region = ""
	}
	return strings.Join([]string{"arn", environment.Partition, service, region, environment.AccountID,
		"checked/" + resource.String()}, ":")
}
