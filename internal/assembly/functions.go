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
	Source string
	// Asset is the folder that was uploaded; with bundling on, it holds the executable named by Handler.
	Asset   string
	Handler string
	// Runtime is such as provided.al2023, Architecture arm64 or x86_64. A laptop runs Source on its own processor.
	Runtime, Architecture string
	Environment           map[string]string
	// MemoryMB is what the function gets on AWS, in MB.
	MemoryMB int
	Timeout  time.Duration
	// ReservedConcurrency is the most invocations at a time; -1: no limit of its own.
	ReservedConcurrency int
	// LogGroup names where its log belongs; empty: Lambda's default.
	LogGroup string
	// JSONLog says that its log is JSON, not text.
	JSONLog bool
}

// decodeFunction takes limits and defaults from the API reference of Lambda (CreateFunction).
func decodeFunction(o *object) any {
	o.need("Code", "Handler", "Runtime", "Role")
	o.ignore(noPermissions, "Role")
	o.ignore(noNetwork, "VpcConfig")
	o.ignore(noTags, "Tags")
	o.ignore("told to people only", "Description")
	logging := o.part("LoggingConfig")
	logging.ignore("a laptop shows every line", "ApplicationLogLevel", "SystemLogLevel")
	function := &Function{
		Name:                o.text("FunctionName"),
		Source:              o.resource.Source(),
		Handler:             o.text("Handler"),
		Runtime:             o.text("Runtime"),
		Architecture:        "x86_64",
		Environment:         o.part("Environment").table("Variables"),
		MemoryMB:            o.integer("MemorySize", 128, 128, 10_240),
		Timeout:             time.Duration(o.integer("Timeout", 3, 1, 900)) * time.Second,
		ReservedConcurrency: o.integer("ReservedConcurrentExecutions", forever, 0, 1_000_000),
		LogGroup:            logging.text("LogGroup"),
		JSONLog:             logging.oneOf("LogFormat", "Text", "JSON") == "JSON",
	}
	for _, architecture := range o.texts("Architectures") {
		function.Architecture = architecture
	}
	if function.Source == "" {
		o.fail(at("Metadata").field(SourceMetadata), "got nothing, want the Go package that the function is built from: a laptop runs the platform's own functions only")
	}
	code := o.part("Code")
	code.need("S3Bucket", "S3Key")
	bucket, key := code.text("S3Bucket"), code.text("S3Key")
	if bucket == "" || key == "" {
		return function
	}
	folder, err := o.assembly.asset(bucket, key, o.environment.expand)
	if err != nil {
		o.fail(o.at.field("Code"), "%v", err)
	}
	function.Asset = folder
	return function
}

// FunctionURL is an AWS::Lambda::Url.
type FunctionURL struct {
	// FunctionARN is the function's ARN or name, as the template refers to it.
	FunctionARN string
	// RequiresIAM says that callers sign their requests; else the URL is open to everyone.
	RequiresIAM bool
}

func decodeFunctionURL(o *object) any {
	o.need("AuthType", "TargetFunctionArn")
	o.oneOf("InvokeMode", "BUFFERED")
	return &FunctionURL{
		FunctionARN: o.text("TargetFunctionArn"),
		RequiresIAM: o.oneOf("AuthType", "AWS_IAM", "NONE") == "AWS_IAM",
	}
}

// CustomResource is an AWS::CloudFormation::CustomResource or any Custom::*. Plan.Handler tells which function answers it.
type CustomResource struct {
	// Type is the resource's, which is also the ResourceType of the event.
	Type string
	// Timeout is how long its handler may take.
	Timeout time.Duration
	// Properties are the ResourceProperties of the event: numbers and booleans are strings there, as CloudFormation sends
	// them.
	Properties map[string]any
}

func decodeCustomResource(o *object) any {
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
var singletonHandler = regexp.MustCompile(`^Custom(S3AutoDeleteObjects|VpcRestrictDefaultSG)CustomResourceProviderHandler[0-9A-F]{8}$`)

// ownFunction says why one of CDK's own Node functions is not executed; empty for every other function.
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

// isProviderFramework recognises the function that CDK's provider framework puts before a handler of custom resources. With
// isComplete it polls, which a laptop does not.
func isProviderFramework(r *Resource) bool {
	return r.Type == functionType && r.properties["Handler"] == "framework.onEvent" &&
		environmentVariable(r, onEventVariable) != nil && environmentVariable(r, isCompleteVariable) == nil
}

// environmentVariable is the expression of a function's variable in the template; nil where it has none.
func environmentVariable(r *Resource, name string) any {
	environment, _ := r.properties["Environment"].(map[string]any)
	variables, _ := environment["Variables"].(map[string]any)
	return variables[name]
}
