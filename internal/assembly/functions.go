package assembly

import (
	"regexp"
	"strings"
	"time"
)

// Function is an AWS::Lambda::Function of the platform's own, compiled from Go.
type Function struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Source is the Go package that it was built from, such as lambda/transform.
	Source      string
	Environment map[string]string
	// MemoryMB is what the function gets on AWS, in MB.
	MemoryMB int
	Timeout  time.Duration
	// ReservedConcurrency is the most invocations at a time, 0 or more; -1: no limit of its own.
	ReservedConcurrency int
}

// decodeFunction takes limits and defaults from the API reference of Lambda (CreateFunction). The
// code that was uploaded must be there, though a laptop runs what it builds itself from the same
// source.
func decodeFunction(o *object) *Function {
	o.need("Code", "Handler", "Runtime", "Role")
	o.ignore(noPermissions, "Role")
	o.ignore(noNetwork, "VpcConfig")
	o.ignore(noTags, "Tags")
	o.ignore("told to people only", "Description")
	o.ignore("what a function keeps for a while lies on the machine's own disk", "EphemeralStorage")
	o.ignore("the laptop builds the function from its Go source, for its own processor", "Architectures")
	o.ignore("an executable for an OS-only runtime is started as it is", "Handler")
	o.oneOf("Runtime", "provided.al2023", "provided.al2")
	logging := o.part("LoggingConfig")
	logging.ignore(noLogService, "LogGroup")
	logging.ignore("what a function writes is kept line by line, as it is", "ApplicationLogLevel", "LogFormat",
		"SystemLogLevel")
	function := &Function{
		Name:                o.text("FunctionName"),
		Source:              o.resource.Source(),
		Environment:         o.part("Environment").table("Variables"),
		MemoryMB:            o.integer("MemorySize", 128, 128, 10_240),
		Timeout:             time.Duration(o.integer("Timeout", 3, 1, 900)) * time.Second,
		ReservedConcurrency: o.integer("ReservedConcurrentExecutions", forever, 0, 1_000_000),
	}
	if function.Source == "" {
		o.fail(at("Metadata").field(SourceMetadata),
			"got nothing, want the Go package that the function is built from: a laptop runs the platform's own "+
				"functions only")
	}
	code := o.part("Code")
	code.need("S3Bucket", "S3Key")
	bucket, key := code.text("S3Bucket"), code.text("S3Key")
	if bucket == "" || key == "" {
		return function
	}
	if err := o.assembly.findAsset(bucket, key, o.environment.expand); err != nil {
		o.fail(o.at.field("Code"), "%v", err)
	}
	return function
}

// FunctionURL is an AWS::Lambda::Url.
type FunctionURL struct {
	// FunctionARN is the function's ARN or name, as the template refers to it.
	FunctionARN string
	// RequiresIAM says that callers sign their requests; else the URL is open to everyone.
	RequiresIAM bool
}

func decodeFunctionURL(o *object) *FunctionURL {
	o.need("AuthType", "TargetFunctionArn")
	o.oneOf("InvokeMode", "BUFFERED")
	return &FunctionURL{
		FunctionARN: o.text("TargetFunctionArn"),
		RequiresIAM: o.oneOf("AuthType", "AWS_IAM", "NONE") == "AWS_IAM",
	}
}

// CustomResource is an AWS::CloudFormation::CustomResource or any Custom::*.
type CustomResource struct {
	// Handler is the function that answers it: the one behind CDK's provider framework.
	Handler *Resource
	// Type is the resource's, which is also the ResourceType of the event.
	Type string
	// Timeout is how long its handler may take.
	Timeout time.Duration
	// Properties are the ResourceProperties of the event: numbers and booleans are strings there,
	// as CloudFormation sends them.
	Properties map[string]any
}

func decodeCustomResource(o *object) *CustomResource {
	o.need("ServiceToken")
	return &CustomResource{
		Type:       o.resource.Type,
		Timeout:    time.Duration(o.integer("ServiceTimeout", 3600, 1, 3600)) * time.Second,
		Properties: o.rest(),
	}
}

const (
	onEventVariable    = "USER_ON_EVENT_FUNCTION_ARN"
	isCompleteVariable = "USER_IS_COMPLETE_FUNCTION_ARN"
)

// singletonHandler is the logical id of the handlers that CDK adds once per stack.
var singletonHandler = regexp.MustCompile(
	`^(Custom(S3AutoDeleteObjects|VpcRestrictDefaultSG)CustomResourceProviderHandler` +
		`|(LogRetention|AWS)[0-9a-f]{32})[0-9A-F]{8}$`)

// ownFunction says why one of CDK's own Node functions is not executed; empty for every other
// function.
func ownFunction(r *Resource) string {
	runtime, _ := r.properties["Runtime"].(string)
	switch {
	case !strings.HasPrefix(runtime, "nodejs"):
		return ""
	case isProviderFramework(r):
		return "the laptop calls the handler behind CDK's provider framework directly"
	case singletonHandler.MatchString(r.LogicalID):
		return "a handler of CDK's own, whose custom resources are only checked"
	}
	return ""
}

// isProviderFramework recognises the function that CDK's provider framework puts before a handler
// of custom resources. With isComplete it polls, which a laptop does not.
func isProviderFramework(r *Resource) bool {
	return r.Type == functionType && r.properties["Handler"] == "framework.onEvent" &&
		environmentVariable(r, onEventVariable) != nil && environmentVariable(r, isCompleteVariable) == nil
}

// environmentVariable is the expression of a function's variable in the template; nil where it has
// none.
func environmentVariable(r *Resource, name string) any {
	environment, _ := r.properties["Environment"].(map[string]any)
	variables, _ := environment["Variables"].(map[string]any)
	return variables[name]
}
