// Package securebucket makes S3 buckets that are private, encrypted, reached
// over TLS only, and kept or emptied at removal as the stack's policy says. It
// must not know what is stored in them.
package securebucket

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
)

// Expiry deletes the objects below a prefix some time after they were written.
type Expiry struct {
	// Prefix limits the rule to keys that begin with it. Default "": every object.
	Prefix string
	// After is the objects' age, in whole days, at least one.
	After time.Duration
	// ColdAfter moves objects of this age, in whole days from LeastCold on, to Standard-IA, where
	// they are read as ever: half the storage's price, and each GB read is charged. S3 leaves
	// objects below 128 KiB where they are. At least LeastCold lies before After, for which that
	// class is charged in any case. Default 0: they stay where they are.
	ColdAfter time.Duration
}

// LeastCold is how old objects must be at least before they move to Standard-IA, and how long it is
// charged at least (Amazon S3 user guide, "Transitioning objects using Amazon S3 Lifecycle").
const LeastCold = 30 * 24 * time.Hour

// Props configures a bucket. The zero value is a kept, unversioned bucket
// without expiry or access log.
type Props struct {
	// Versioned keeps overwritten and deleted objects. Default false: an overwrite is final.
	Versioned bool
	// NoncurrentExpiry deletes overwritten and deleted versions after whole days.
	// Default 0: they are kept for ever. Only for versioned buckets.
	NoncurrentExpiry time.Duration
	// Expiries delete objects by age. Default none: objects are kept for ever.
	Expiries []Expiry
	// Destroy empties and deletes the bucket with its stack. Default false: it is
	// retained, and its name must be noted to find it again.
	Destroy bool
	// AccessLogs receives the server access log below a prefix named after this
	// bucket's path. Default nil: access is not logged.
	AccessLogs awss3.IBucket
	// UnloggedReason is why access is not logged (S1). Required without AccessLogs, but for a
	// bucket that ReceivesAccessLogs.
	UnloggedReason string
	// ReceivesAccessLogs marks the bucket that other buckets log to; S3 forbids
	// that it logs to itself. Default false.
	ReceivesAccessLogs bool
}

// Bucket is a private bucket.
type Bucket struct {
	bucket awss3.Bucket
}

// New makes a bucket at id in scope.
func New(scope constructs.Construct, id string, p Props) *Bucket {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	props := &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		Versioned:         jsii.Bool(p.Versioned),
		RemovalPolicy:     awscdk.RemovalPolicy_RETAIN_ON_UPDATE_OR_DELETE,
		LifecycleRules:    p.lifecycle(),
	}
	if p.Destroy {
		props.RemovalPolicy = awscdk.RemovalPolicy_DESTROY
		props.AutoDeleteObjects = jsii.Bool(true)
	}
	bucket := awss3.NewBucket(this, jsii.String("Bucket"), props)
	if p.AccessLogs != nil {
		logAccess(bucket, p.AccessLogs, *this.Node().Path()+"/")
	}
	if p.ReceivesAccessLogs {
		admitAccessLogs(bucket)
		nag.Accept(bucket, nag.Exception{Rule: "AwsSolutions-S1",
			Reason: "This bucket receives the access logs of the others; S3 does not allow it to log to itself."})
	} else if p.AccessLogs == nil {
		nag.Accept(bucket, nag.Exception{Rule: "AwsSolutions-S1", Reason: p.UnloggedReason})
	}
	return &Bucket{bucket: bucket}
}

// logAccess names the log bucket below the L2 construct, which would write the
// right to deliver into the log bucket's policy, bucket by bucket, and so make the
// log bucket's stack depend on all others.
func logAccess(bucket awss3.Bucket, logs awss3.IBucket, prefix string) {
	bucket.Node().DefaultChild().(awss3.CfnBucket).SetLoggingConfiguration(&awss3.CfnBucket_LoggingConfigurationProperty{
		DestinationBucketName: logs.BucketName(),
		LogFilePrefix:         jsii.String(prefix),
	})
}

// admitAccessLogs lets S3 deliver the access logs of this account's buckets, and Elastic Load
// Balancing those of its load balancers (Application Load Balancers user guide, "Enable access
// logs": the policy for all Regions, in place of the older one by accounts of AWS).
func admitAccessLogs(bucket awss3.Bucket) {
	bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AccessLogsOfThisAccount"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("logging.s3.amazonaws.com"), nil)},
		Actions:    jsii.Strings("s3:PutObject"),
		Resources:  &[]*string{bucket.ArnForObjects(jsii.String("*"))},
		Conditions: &map[string]any{"StringEquals": map[string]any{
			"aws:SourceAccount": awscdk.Stack_Of(bucket).Account(),
		}},
	}))
	stack := awscdk.Stack_Of(bucket)
	bucket.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String("LoadBalancerLogsOfThisAccount"),
		Principals: &[]awsiam.IPrincipal{
			awsiam.NewServicePrincipal(jsii.String("logdelivery.elasticloadbalancing.amazonaws.com"), nil),
		},
		Actions:   jsii.Strings("s3:PutObject"),
		Resources: &[]*string{bucket.ArnForObjects(jsii.String("*/AWSLogs/" + *stack.Account() + "/*"))},
		Conditions: &map[string]any{"ArnLike": map[string]any{
			"aws:SourceArn": stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("elasticloadbalancing"), Resource: jsii.String("loadbalancer"),
				ResourceName: jsii.String("*"),
			}),
		}},
	}))
}

func (p Props) validate() {
	if p.AccessLogs == nil && !p.ReceivesAccessLogs && p.UnloggedReason == "" {
		panic("securebucket: UnloggedReason must say why AwsSolutions-S1 is accepted, got none; or give AccessLogs")
	}
	if p.NoncurrentExpiry != 0 && !p.Versioned {
		panic(fmt.Sprintf("securebucket: NoncurrentExpiry needs a versioned bucket, got %s; set Versioned or leave "+
			"it out", p.NoncurrentExpiry))
	}
	for _, age := range append([]time.Duration{p.NoncurrentExpiry}, ages(p.Expiries)...) {
		if age%(24*time.Hour) != 0 || age < 0 {
			panic(fmt.Sprintf("securebucket: S3 expires objects by whole days, got %s; use a multiple of 24h", age))
		}
	}
	for _, e := range p.Expiries {
		if e.After == 0 {
			panic(fmt.Sprintf("securebucket: an expiry must be at least one day, got 0 for prefix %q; leave the "+
				"rule out to keep objects", e.Prefix))
		}
		if e.ColdAfter != 0 && (e.ColdAfter < LeastCold || e.ColdAfter+LeastCold > e.After) {
			panic(fmt.Sprintf("securebucket: ColdAfter must be %s or more, and as much before After, got %s and %s "+
				"for prefix %q; leave it out to move nothing", LeastCold, e.ColdAfter, e.After, e.Prefix))
		}
	}
}

func ages(expiries []Expiry) []time.Duration {
	all := make([]time.Duration, 0, len(expiries))
	for _, e := range expiries {
		all = append(all, e.After, e.ColdAfter)
	}
	return all
}

func (p Props) lifecycle() *[]*awss3.LifecycleRule {
	rules := []*awss3.LifecycleRule{{
		Id:                                  jsii.String("abandoned-uploads"),
		AbortIncompleteMultipartUploadAfter: days(7 * 24 * time.Hour),
	}}
	for i, e := range p.Expiries {
		rule := &awss3.LifecycleRule{Id: jsii.String(fmt.Sprintf("expiry-%d", i)), Expiration: days(e.After)}
		if e.Prefix != "" {
			rule.Prefix = jsii.String(e.Prefix)
		}
		if e.ColdAfter > 0 {
			rule.Transitions = &[]*awss3.Transition{{
				StorageClass: awss3.StorageClass_INFREQUENT_ACCESS(), TransitionAfter: days(e.ColdAfter),
			}}
		}
		rules = append(rules, rule)
	}
	if p.NoncurrentExpiry > 0 {
		rules = append(rules, &awss3.LifecycleRule{
			Id: jsii.String("noncurrent-versions"), NoncurrentVersionExpiration: days(p.NoncurrentExpiry),
		})
	}
	return &rules
}

func days(d time.Duration) awscdk.Duration {
	return awscdk.Duration_Days(jsii.Number(d.Hours() / 24))
}

// Bucket is the CDK bucket, for other constructs' props.
func (b *Bucket) Bucket() awss3.Bucket { return b.bucket }

// Name is the generated bucket name, known at deployment.
func (b *Bucket) Name() *string { return b.bucket.BucketName() }

// ARN names the bucket in policies, known at deployment.
func (b *Bucket) ARN() *string { return b.bucket.BucketArn() }
