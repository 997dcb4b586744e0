// Package role makes the IAM roles that programs run in, and adds least-privilege statements to
// them, each with the reason for what cdk-nag finds in it. It takes ARNs, so that what is allowed
// may stand anywhere. It must not know what runs in a role.
package role

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
)

// Props configures a role.
type Props struct {
	// Service may run programs in the role, such as "lambda.amazonaws.com". Required.
	Service string
	// Description says what runs in it.
	Description string
}

// Role is what a program may do: nothing, until something is allowed.
type Role struct {
	role awsiam.Role
	// named counts the statements by the name that was asked for.
	named map[string]int
}

// New makes a role at id in scope.
func New(scope constructs.Construct, id string, p Props) *Role {
	if p.Service == "" {
		panic(fmt.Sprintf("role: Service is required, got none for %s; name who runs it, like glue.amazonaws.com", id))
	}
	return &Role{named: map[string]int{}, role: awsiam.NewRole(scope, jsii.String(id), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String(p.Service), nil),
		Description: jsii.String(p.Description),
	})}
}

// Role is the CDK role, for other constructs' props.
func (r *Role) Role() awsiam.Role { return r.role }

// Allow adds one statement. Its name, letters and digits, gets a number where the role has it
// already: IAM refuses a policy with two statements of one name.
func (r *Role) Allow(name string, actions []string, resources ...*string) {
	r.named[name]++
	if n := r.named[name]; n > 1 {
		name = fmt.Sprintf("%s%d", name, n)
	}
	r.role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid: jsii.String(name), Actions: jsii.Strings(actions...), Resources: &resources,
	}))
}

// AllowObjects adds a statement about the objects of a bucket whose key begins with prefix.
func (r *Role) AllowObjects(name string, actions []string, bucketARN *string, prefix string) {
	r.Allow(name, actions, jsii.String(*bucketARN+"/"+prefix+"*"))
	nag.Accept(r.role, nag.ObjectsBelow(prefix))
}

// AllowFrom lets the program read the objects of a bucket whose key begins with prefix, and list
// the bucket, without which S3 answers 403 for an object that does not exist. The permission is a
// policy in scope, which may be a later stack than the role's: that of the bucket.
func (r *Role) AllowFrom(scope constructs.Construct, id string, bucketARN *string, prefix string) {
	objects := jsii.String(*bucketARN + "/" + prefix + "*")
	policy := awsiam.NewPolicy(scope, jsii.String(id), &awsiam.PolicyProps{
		Roles: &[]awsiam.IRole{r.role},
		Statements: &[]awsiam.PolicyStatement{
			awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Sid: jsii.String("ReadObjects"), Actions: jsii.Strings("s3:GetObject"), Resources: &[]*string{objects},
			}),
			awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
				Sid: jsii.String("ListBucket"), Actions: jsii.Strings("s3:ListBucket"),
				Resources: &[]*string{bucketARN},
			}),
		},
	})
	nag.Accept(policy, nag.ObjectsBelow(prefix))
}

// AllowInvoke lets the program invoke a function.
func (r *Role) AllowInvoke(functionARN *string) {
	r.Allow("InvokeFunction", []string{"lambda:InvokeFunction"}, functionARN)
}

// AllowLog lets the program write a log group that exists: it makes the streams in it, not the
// group.
func (r *Role) AllowLog(logGroupARN *string) {
	r.Allow("WriteOwnLog", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, logGroupARN)
}
