package templates

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/metrics"
)

// invariant is a rule about every resource of every stack and profile.
type invariant struct {
	name string
	// breach says what is wrong with the resource, or "". It sees the whole
	// assembly for rules about what stands beside it.
	breach func(a assembly, id string, r resource) string
	// broken is a resource that the rule must catch, as JSON.
	broken string
}

var invariants = []invariant{
	{
		name: "buckets block public access",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type != "AWS::S3::Bucket" {
				return ""
			}
			block, _ := r.Properties["PublicAccessBlockConfiguration"].(map[string]any)
			for _, setting := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls",
				"RestrictPublicBuckets"} {
				if block[setting] != true {
					return setting + " is not true"
				}
			}
			return ""
		},
		broken: `{"Type":"AWS::S3::Bucket","Properties":{"PublicAccessBlockConfiguration":{"BlockPublicAcls":true}}}`,
	}, {
		name: "buckets and topics are reached over TLS only",
		breach: func(a assembly, id string, r resource) string {
			policies := map[string]string{"AWS::S3::Bucket": "AWS::S3::BucketPolicy",
				"AWS::SNS::Topic": "AWS::SNS::TopicPolicy"}
			policy, ok := policies[r.Type]
			if !ok {
				return ""
			}
			stack, logical, _ := strings.Cut(id, "/")
			for _, other := range a.templates[stack].Resources {
				if other.Type != policy || !refersTo(other.Properties, logical) {
					continue
				}
				for _, s := range statements(other.Properties["PolicyDocument"]) {
					if s["Effect"] == "Deny" && strings.Contains(string(compact(s["Condition"])),
						`"aws:SecureTransport":"false"`) {
						return ""
					}
				}
			}
			return "no policy denies aws:SecureTransport=false"
		},
		broken: `{"Type":"AWS::S3::Bucket"}`,
	}, {
		name: "log groups have a retention",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type == "AWS::Logs::LogGroup" && r.Properties["RetentionInDays"] == nil {
				return "RetentionInDays is missing: kept for ever"
			}
			return ""
		},
		broken: `{"Type":"AWS::Logs::LogGroup"}`,
	}, {
		name: "functions log to a log group of the template",
		breach: func(_ assembly, id string, r resource) string {
			// CDK's function that gives RDS's log groups their retention gives its own one day.
			if r.Type != "AWS::Lambda::Function" || strings.Contains(id, "/LogRetention") {
				return ""
			}
			logging, _ := r.Properties["LoggingConfig"].(map[string]any)
			if logging["LogGroup"] == nil {
				return "LoggingConfig.LogGroup is missing: Lambda would make one that is kept for ever"
			}
			return ""
		},
		broken: `{"Type":"AWS::Lambda::Function"}`,
	}, {
		name: "no security group admits the world, but a balancer's on its listeners where that is written out",
		breach: func(a assembly, id string, r resource) string {
			return a.admitsTheWorld(id, r)
		},
		broken: `{"Type":"AWS::EC2::SecurityGroup","Properties":{"SecurityGroupIngress":[{"CidrIp":"0.0.0.0/0",` +
			`"IpProtocol":"tcp"}]}}`,
	}, {
		name: "no policy allows * or service:*",
		breach: func(_ assembly, _ string, r resource) string {
			for _, s := range policiesOf(r) {
				for _, action := range list(s["Action"]) {
					if s["Effect"] == "Allow" && (action == "*" || strings.HasSuffix(action, ":*")) {
						return "allows " + action
					}
				}
			}
			return ""
		},
		broken: `{"Type":"AWS::IAM::Policy","Properties":{"PolicyDocument":{"Statement":[{"Effect":"Allow",` +
			`"Action":["s3:GetObject","s3:*"]}]}}}`,
	}, {
		name: "statements of a policy have names of their own",
		breach: func(_ assembly, _ string, r resource) string {
			seen := map[any]bool{}
			for _, s := range policiesOf(r) {
				if name, ok := s["Sid"]; ok && seen[name] {
					return fmt.Sprintf("two statements are called %v: IAM refuses the policy", name)
				}
				seen[s["Sid"]] = true
			}
			return ""
		},
		broken: `{"Type":"AWS::IAM::Policy","Properties":{"PolicyDocument":{"Statement":[{"Sid":"A",` +
			`"Action":"s3:GetObject"},{"Sid":"A","Action":"s3:PutObject"}]}}}`,
	}, {
		name: "no secret literal",
		breach: func(_ assembly, _ string, r resource) string {
			return literalSecret(r.Properties, "")
		},
		broken: `{"Type":"AWS::RDS::DBInstance","Properties":{"MasterUserPassword":"correct horse"}}`,
	}, {
		name:   "what stores data encrypts it",
		breach: func(_ assembly, _ string, r resource) string { return unencrypted(r) },
		broken: `{"Type":"AWS::RDS::DBInstance","Properties":{"StorageEncrypted":false}}`,
	}, {
		name: "Go functions are arm64 on provided.al2023",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type != "AWS::Lambda::Function" || cdkOwn(r) {
				return ""
			}
			if r.Properties["Runtime"] != "provided.al2023" ||
				string(compact(r.Properties["Architectures"])) != `["arm64"]` {
				return fmt.Sprintf("runs %v on %s", r.Properties["Runtime"], compact(r.Properties["Architectures"]))
			}
			return ""
		},
		broken: `{"Type":"AWS::Lambda::Function","Properties":{"Runtime":"python3.13"}}`,
	}, {
		name: "Go functions name their source",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type != "AWS::Lambda::Function" || cdkOwn(r) {
				return ""
			}
			if source, _ := r.Metadata["diecast:source"].(string); !strings.HasPrefix(source, "lambda/") {
				return "metadata diecast:source is missing"
			}
			return ""
		},
		broken: `{"Type":"AWS::Lambda::Function","Properties":{"Runtime":"provided.al2023"}}`,
	}, {
		name: "what can be tagged is tagged",
		breach: func(_ assembly, id string, r resource) string {
			// CDK's own singletons take no tags.
			if !slices.Contains(taggable, r.Type) || strings.Contains(id, "CustomResourceProvider") {
				return ""
			}
			for _, key := range []string{"project", "platform", "profile"} {
				if !strings.Contains(string(compact(r.Properties)), fmt.Sprintf(`"Key":%q`, key)) {
					return "tag " + key + " is missing"
				}
			}
			return ""
		},
		broken: `{"Type":"AWS::Kinesis::Stream"}`,
	}, {
		name: "nothing but stacks has a physical name",
		breach: func(_ assembly, _ string, r resource) string {
			for _, property := range []string{"BucketName", "FunctionName", "RoleName", "TableName", "TopicName",
				"LogGroupName",
				"DBInstanceIdentifier", "DeliveryStreamName", "GroupName", "AlarmName"} {
				if _, literal := r.Properties[property].(string); literal &&
					r.Type != "AWS::EC2::SecurityGroupIngress" {
					return property + " is fixed: a second platform in the account would collide"
				}
			}
			if r.Type == "AWS::Kinesis::Stream" && r.Properties["Name"] != nil {
				return "Name is fixed: a second platform in the account would collide"
			}
			return ""
		},
		broken: `{"Type":"AWS::S3::Bucket","Properties":{"BucketName":"mine"}}`,
	}, {
		name: "no ARN is written for one partition",
		breach: func(a assembly, _ string, r resource) string {
			text := string(compact(r.Properties))
			// What the configuration names is the user's.
			for _, setting := range a.settings {
				_, value, _ := strings.Cut(setting, "=")
				text = strings.ReplaceAll(text, value, "")
			}
			// A state machine's integrations are written as cfn-lint (E3601) knows them: in the one
			// partition whose regions Network's template admits.
			if r.Type == "AWS::StepFunctions::StateMachine" {
				text = strings.ReplaceAll(text, "arn:aws:states:::", "")
			}
			if found := regexp.MustCompile(`arn:aws[a-z-]*:`).FindString(text); found != "" {
				return "holds the literal " + found
			}
			return ""
		},
		broken: `{"Type":"AWS::IAM::Policy",` +
			`"Properties":{"PolicyDocument":{"Statement":[{"Resource":"arn:aws:s3:::bucket"}]}}}`,
	}, {
		name: "alarms tell the topic, both ways",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type != "AWS::CloudWatch::Alarm" {
				return ""
			}
			for _, property := range []string{"AlarmActions", "OKActions"} {
				if len(list(r.Properties[property])) == 0 && r.Properties[property] == nil {
					return property + " is missing"
				}
			}
			return ""
		},
		broken: `{"Type":"AWS::CloudWatch::Alarm","Properties":{"AlarmActions":["x"]}}`,
	}, {
		name: "alarms watch metrics that exist",
		breach: func(_ assembly, _ string, r resource) string {
			if r.Type != "AWS::CloudWatch::Alarm" {
				return ""
			}
			for _, metric := range metricsOf(r) {
				if !slices.Contains(knownMetrics, metric) {
					return metric + " is not a known metric: a typo would fail silently"
				}
			}
			return ""
		},
		broken: `{"Type":"AWS::CloudWatch::Alarm","Properties":{"Namespace":"AWS/Lambda","MetricName":"Eror"}}`,
	}, {
		name: "databases are reached on their own port, through group and network ACL",
		breach: func(a assembly, id string, r resource) string {
			if r.Type != "AWS::RDS::DBInstance" {
				return ""
			}
			stack, _, _ := strings.Cut(id, "/")
			return a.cutOff(stack, r)
		},
		broken: `{"Type":"AWS::RDS::DBInstance","Properties":{"Port":"3306"}}`,
	}, {
		name: "databases never run in paid Extended Support",
		breach: func(_ assembly, _ string, r resource) string {
			const disabled = "open-source-rds-extended-support-disabled"
			if r.Type == "AWS::RDS::DBInstance" && r.Properties["EngineLifecycleSupport"] != disabled {
				return fmt.Sprintf("EngineLifecycleSupport is %v: past its end of life the engine costs many times "+
					"the instance",
					r.Properties["EngineLifecycleSupport"])
			}
			return ""
		},
		broken: `{"Type":"AWS::RDS::DBInstance","Properties":{"EngineVersion":"8.4.11"}}`,
	}, {
		name: "what is retained goes when its creation fails",
		breach: func(_ assembly, _ string, r resource) string {
			if r.DeletionPolicy == "Retain" {
				return "DeletionPolicy is Retain: a first deployment that fails would leave it, and pay for it"
			}
			return ""
		},
		broken: `{"Type":"AWS::Kinesis::Stream","DeletionPolicy":"Retain","UpdateReplacePolicy":"Retain"}`,
	}, {
		name: "what stays when its stack goes is listed with its price",
		breach: func(_ assembly, _ string, r resource) string {
			if stays := r.DeletionPolicy != "" && r.DeletionPolicy != "Delete"; stays && leftovers[r.Type] == "" {
				return "stays with policy " + r.DeletionPolicy + ", and docs/deploying.md does not tell what it costs"
			}
			return ""
		},
		broken: `{"Type":"AWS::EFS::FileSystem","DeletionPolicy":"RetainExceptOnCreate"}`,
	}, {
		name: "databases say whether RDS upgrades them",
		breach: func(_ assembly, _ string, r resource) string {
			_, stated := r.Properties["AutoMinorVersionUpgrade"].(bool)
			if r.Type == "AWS::RDS::DBInstance" && !stated {
				return "AutoMinorVersionUpgrade is left to RDS's default"
			}
			return ""
		},
		broken: `{"Type":"AWS::RDS::DBInstance","Properties":{}}`,
	}, {
		name: "database subnets have no way out",
		breach: func(_ assembly, id string, r resource) string {
			if r.Type == "AWS::EC2::Route" && strings.Contains(id, "Database") {
				return "routes " + string(compact(r.Properties))
			}
			return ""
		},
		broken: `{"Type":"AWS::EC2::Route","Properties":{"DestinationCidrBlock":"0.0.0.0/0"}}`,
	},
}

func TestInvariants(t *testing.T) {
	for _, settings := range everyConfiguration() {
		built := synth(t, settings...)
		for _, rule := range invariants {
			t.Run(strings.Join(settings, " ")+"/"+rule.name, func(t *testing.T) {
				for id, r := range built.all {
					if breach := rule.breach(built, id, r); breach != "" {
						t.Errorf("%s (%s): %s", id, r.Type, breach)
					}
				}
			})
		}
	}
}

// Every rule must be able to fail.
func TestInvariants_breachIsCaught(t *testing.T) {
	for _, rule := range invariants {
		t.Run(rule.name, func(t *testing.T) {
			var broken resource
			require.NoError(t, json.Unmarshal([]byte(rule.broken), &broken))
			const id = "Stack/DatabaseBroken"
			resources := map[string]resource{"DatabaseBroken": broken}
			a := assembly{templates: map[string]template{"Stack": {Resources: resources}}}
			assert.NotEmpty(t, rule.breach(a, id, broken))
		})
	}
}

// cdkOwn tells CDK's own Node functions: the provider framework and the
// custom resources behind bucket emptying and the default security group.
func cdkOwn(r resource) bool {
	runtime, literal := r.Properties["Runtime"].(string)
	return r.Type == "AWS::Lambda::Function" && r.Metadata["diecast:source"] == nil &&
		(!literal && r.Properties["Runtime"] != nil || strings.HasPrefix(runtime, "nodejs"))
}

// taggable are the types of ours that take tags as a list.
var taggable = []string{"AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::RDS::DBInstance", "AWS::Lambda::Function",
	"AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup", "AWS::Logs::LogGroup", "AWS::IAM::Role",
	"AWS::SNS::Topic", "AWS::Athena::WorkGroup", "AWS::Events::Rule", "AWS::KinesisFirehose::DeliveryStream",
	"AWS::CloudWatch::Alarm", "AWS::DynamoDB::GlobalTable"}

// knownMetrics are the metrics that alarms may watch, as the services' user
// guides name them.
var knownMetrics = append([]string{
	"AWS/Kinesis/WriteProvisionedThroughputExceeded",
	"AWS/Firehose/DeliveryToS3.DataFreshness", "AWS/Firehose/DeliveryToS3.Success",
	"AWS/Firehose/ExecuteProcessing.Success", "AWS/Firehose/ThrottledGetRecords",
	"AWS/Lambda/Errors", "AWS/Lambda/Invocations", "AWS/Lambda/Throttles", "AWS/Lambda/Duration",
	"AWS/Lambda/IteratorAge",
	"AWS/RDS/FreeableMemory", "AWS/RDS/FreeStorageSpace", "AWS/RDS/CPUSurplusCreditsCharged",
	"AWS/RDS/DatabaseConnections",
	"AWS/DynamoDB/WriteThrottleEvents", "AWS/SNS/NumberOfMessagesPublished",
	"AWS/States/ExecutionsFailed", "AWS/States/ExecutionsSucceeded", "AWS/States/ExecutionsTimedOut",
	"AWS/ApplicationELB/HTTPCode_ELB_5XX_Count", "AWS/ApplicationELB/HTTPCode_Target_5XX_Count",
	"AWS/ApplicationELB/HealthyHostCount", "AWS/ApplicationELB/RequestCount",
	"AWS/ApplicationELB/RequestCountPerTarget", "AWS/ApplicationELB/TargetResponseTime",
	"AWS/ApplicationELB/UnHealthyHostCount",
	"AWS/AutoScaling/GroupInServiceInstances", "AWS/EC2/CPUUtilization", "AWS/EC2/NetworkIn",
	"AWS/EC2/NetworkOut",
}, own()...)

// own are the platform's own metrics.
func own() []string {
	var names []string
	for _, name := range metrics.Names {
		names = append(names, metrics.Namespace+"/"+name)
	}
	return names
}

func metricsOf(r resource) []string {
	if name, ok := r.Properties["MetricName"].(string); ok {
		return []string{fmt.Sprintf("%v/%s", r.Properties["Namespace"], name)}
	}
	var names []string
	queries, _ := r.Properties["Metrics"].([]any)
	for _, query := range queries {
		entry, _ := query.(map[string]any)
		stat, _ := entry["MetricStat"].(map[string]any)
		if metric, ok := stat["Metric"].(map[string]any); ok {
			names = append(names, fmt.Sprintf("%v/%v", metric["Namespace"], metric["MetricName"]))
		}
	}
	return names
}

// unencrypted says how a resource that stores data fails to encrypt it. The
// alarm topic is left out: it stores nothing, and CloudWatch cannot publish
// through the AWS managed key.
func unencrypted(r resource) string {
	p := r.Properties
	switch r.Type {
	case "AWS::S3::Bucket":
		if p["BucketEncryption"] == nil {
			return "BucketEncryption is missing"
		}
	case "AWS::RDS::DBInstance":
		if p["StorageEncrypted"] != true {
			return "StorageEncrypted is not true"
		}
	case "AWS::Kinesis::Stream":
		if p["StreamEncryption"] == nil {
			return "StreamEncryption is missing"
		}
	case "AWS::DynamoDB::GlobalTable":
		if !strings.Contains(string(compact(p["SSESpecification"])), `"SSEEnabled":true`) {
			return "SSESpecification does not enable encryption"
		}
	case "AWS::EC2::Instance":
		if !strings.Contains(string(compact(p["BlockDeviceMappings"])), `"Encrypted":true`) {
			return "the disk is not encrypted"
		}
	case "AWS::EC2::LaunchTemplate":
		if !strings.Contains(string(compact(p["LaunchTemplateData"])), `"Encrypted":true`) {
			return "the disk is not encrypted"
		}
	}
	return ""
}

var secretName = regexp.MustCompile(`(?i)(password|secret|token|apikey|api_key)`)

// dynamicReference is resolved by CloudFormation at deployment; the secret stays where it is.
var dynamicReference = regexp.MustCompile(`^\{\{resolve:secretsmanager:[^{}]+\}\}$`)

// literalSecret finds text under a name that speaks of a secret. Names of
// secrets' places are no secrets.
func literalSecret(value any, path string) string {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			named := secretName.MatchString(key) &&
				!slices.Contains([]string{"HttpTokens", "ServiceToken", "TokenEndpoint"}, key)
			if text, ok := inner.(string); ok && named && !dynamicReference.MatchString(text) {
				return fmt.Sprintf("%s.%s is the literal %q", path, key, text)
			}
			if found := literalSecret(inner, path+"."+key); found != "" {
				return found
			}
		}
	case []any:
		for _, inner := range v {
			if found := literalSecret(inner, path); found != "" {
				return found
			}
		}
	}
	return ""
}

// refersTo tells whether a value has a Ref to the resource.
func refersTo(value any, logicalID string) bool {
	return strings.Contains(string(compact(value)), fmt.Sprintf(`{"Ref":%q}`, logicalID))
}

// policiesOf yields every statement of a resource's policy documents.
func policiesOf(r resource) []map[string]any {
	found := statements(r.Properties["PolicyDocument"])
	found = append(found, statements(r.Properties["AssumeRolePolicyDocument"])...)
	inline, _ := r.Properties["Policies"].([]any)
	for _, policy := range inline {
		entry, _ := policy.(map[string]any)
		found = append(found, statements(entry["PolicyDocument"])...)
	}
	return found
}

func statements(document any) []map[string]any {
	doc, _ := document.(map[string]any)
	all, _ := doc["Statement"].([]any)
	found := make([]map[string]any, 0, len(all))
	for _, one := range all {
		if s, ok := one.(map[string]any); ok {
			found = append(found, s)
		}
	}
	return found
}

// list reads a value that IAM allows to be one text or many.
func list(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var texts []string
		for _, one := range v {
			texts = append(texts, fmt.Sprint(one))
		}
		return texts
	}
	return nil
}
