package stepfunctions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go"

	"diecast/internal/local/stepfunctions/asl"
)

// Clients reach the services that Tasks call. One that is nil is not served in this run: a Task
// that calls it fails.
type Clients struct {
	Glue   *glue.Client
	Lambda *lambda.Client
	S3     *s3.Client
	SNS    *sns.Client
}

// integration is a resource that Tasks may call.
type integration struct {
	// parameters that it takes: those that the run's engines honour.
	parameters []string
	call       func(ctx context.Context, clients Clients, task asl.Task) (any, error)
}

// The services' names in errors ("AWS Step Functions Developer Guide", "Handling errors", and the
// column of exception prefixes in "Supported service integrations"), each with the one that stands
// for every error without a class of its own.
var (
	glueErrors    = errorNames{"Glue", "AWSGlueException"}
	glueSDKErrors = errorNames{"Glue", "GlueException"}
	lambdaErrors  = errorNames{"Lambda", "AWSLambdaException"}
	s3Errors      = errorNames{"S3", "S3Exception"}
	snsErrors     = errorNames{"Sns", "SnsException"}
)

var resources = map[string]integration{
	"glue:startJobRun.sync": {[]string{"JobName", "Arguments", "Timeout"}, runJob},
	"lambda:invoke":         {[]string{"FunctionName", "Payload"}, invokeFunction},
	"aws-sdk:glue:getJobRuns": {[]string{"JobName", "MaxResults"},
		func(ctx context.Context, clients Clients, task asl.Task) (any, error) {
			return ask(ctx, task, glueSDKErrors, clients.Glue, (*glue.Client).GetJobRuns)
		}},
	"aws-sdk:s3:getObject": {[]string{"Bucket", "Key"}, getObject},
	"aws-sdk:sns:publish": {[]string{"TopicArn", "Subject", "Message"},
		func(ctx context.Context, clients Clients, task asl.Task) (any, error) {
			return ask(ctx, task, snsErrors, clients.SNS, (*sns.Client).Publish)
		}},
}

// integrations are the resources, for the parser.
func integrations() asl.Integrations {
	known := asl.Integrations{}
	for name, resource := range resources {
		known[name] = resource.parameters
	}
	return known
}

// invoke calls a task's resource.
func (c Clients) invoke(ctx context.Context, task asl.Task) (any, error) {
	return resources[task.Resource].call(ctx, c, task)
}

// errorNames of a service.
type errorNames struct{ service, other string }

// of is an SDK's error as a Task tells it.
func (n errorNames) of(err error) *asl.Failure {
	var answered smithy.APIError
	if !errors.As(err, &answered) {
		return &asl.Failure{Name: n.service + ".SdkClientException", Cause: err.Error()}
	}
	name := n.other
	var generic *smithy.GenericAPIError
	if !errors.As(err, &generic) {
		name = strings.TrimSuffix(answered.ErrorCode(), "Exception") + "Exception"
	}
	return &asl.Failure{
		Name: n.service + "." + name,
		Cause: fmt.Sprintf("%s (Service: %s, Error Code: %s)", answered.ErrorMessage(), n.service,
			answered.ErrorCode()),
	}
}

// ask calls an operation whose input are the task's parameters and whose output is the result.
func ask[Client, Input, Output, Option any](
	ctx context.Context, task asl.Task, names errorNames, client *Client,
	operation func(*Client, context.Context, *Input, ...Option) (*Output, error),
) (any, error) {
	input, err := bound[Input](task)
	if err != nil {
		return nil, err
	}
	if client == nil {
		return nil, notServed(names)
	}
	output, err := operation(client, ctx, input)
	if err != nil {
		return nil, names.of(err)
	}
	return presented(output)
}

func notServed(names errorNames) error {
	return &asl.Failure{Name: names.service + ".SdkClientException",
		Cause: "nothing in this run serves " + names.service}
}

// bound are a task's parameters as an SDK's input: its fields have the names that the API's
// parameters have.
func bound[Input any](task asl.Task) (*Input, error) {
	text, err := json.Marshal(task.Parameters)
	if err != nil {
		return nil, err
	}
	input := new(Input)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(input); err != nil {
		return nil, &asl.Failure{Name: asl.Runtime,
			Cause: fmt.Sprintf("state %s: the parameters of %s are not understood: %v", task.State, task.Resource, err)}
	}
	return input, nil
}

// presented is an SDK's output as a Task's: what is not set is left out.
func presented(output any) (any, error) {
	text, err := json.Marshal(output)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return set(value), nil
}

// set leaves out of a value what an SDK writes for what was not set.
func set(value any) any {
	switch value := value.(type) {
	case map[string]any:
		maps.DeleteFunc(value, func(name string, member any) bool {
			return member == nil || member == "" || name == "ResultMetadata"
		})
		for name, member := range value {
			value[name] = set(member)
		}
	case []any:
		for i, member := range value {
			value[i] = set(member)
		}
	}
	return value
}

const (
	// askAgain is the pause between two questions about a job's run.
	askAgain = 100 * time.Millisecond
	// stopWithin bounds the request to stop a run that an execution leaves behind.
	stopWithin = 5 * time.Second
)

// runJob starts a job and waits until its run has ended. A run whose execution ends before it is
// stopped, as AWS tries to.
func runJob(ctx context.Context, clients Clients, task asl.Task) (any, error) {
	input, err := bound[glue.StartJobRunInput](task)
	if err != nil {
		return nil, err
	}
	if clients.Glue == nil {
		return nil, notServed(glueErrors)
	}
	started, err := clients.Glue.StartJobRun(ctx, input)
	if err != nil {
		return nil, glueErrors.of(err)
	}
	task.Submitted(map[string]any{"JobRunId": *started.JobRunId})
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		answer, err := clients.Glue.GetJobRun(ctx, &glue.GetJobRunInput{JobName: input.JobName,
			RunId: started.JobRunId})
		switch {
		case ctx.Err() != nil:
			return nil, stopJob(ctx, clients.Glue, *input.JobName, *started.JobRunId)
		case err != nil:
			return nil, glueErrors.of(err)
		case answer.JobRun.CompletedOn != nil:
			return ofRun(answer.JobRun)
		}
		task.Beat()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, stopJob(ctx, clients.Glue, *input.JobName, *started.JobRunId)
		}
	}
}

// ofRun is the end of a job's run: its description, as result or as cause.
func ofRun(run *gluetypes.JobRun) (any, error) {
	described, err := presented(run)
	if err != nil {
		return nil, err
	}
	if run.JobRunState == gluetypes.JobRunStateSucceeded {
		return described, nil
	}
	cause, err := json.Marshal(described)
	if err != nil {
		return nil, err
	}
	return nil, &asl.Failure{Name: asl.TaskFailed, Cause: string(cause)}
}

func stopJob(ctx context.Context, client *glue.Client, job, run string) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	_, err := client.BatchStopJobRun(stopping, &glue.BatchStopJobRunInput{JobName: &job, JobRunIds: []string{run}})
	return errors.Join(context.Cause(ctx), err)
}

// getObject is an object's content as the text Body.
func getObject(ctx context.Context, clients Clients, task asl.Task) (any, error) {
	input, err := bound[s3.GetObjectInput](task)
	if err != nil {
		return nil, err
	}
	if clients.S3 == nil {
		return nil, notServed(s3Errors)
	}
	object, err := clients.S3.GetObject(ctx, input)
	if err != nil {
		return nil, s3Errors.of(err)
	}
	defer object.Body.Close()
	content, err := io.ReadAll(io.LimitReader(object.Body, asl.MaxData+1))
	if err != nil {
		return nil, s3Errors.of(err)
	}
	return map[string]any{"Body": string(content), "ETag": aws.ToString(object.ETag)}, nil
}

// invokeFunction calls a function and waits for its answer.
func invokeFunction(ctx context.Context, clients Clients, task asl.Task) (any, error) {
	parameters, _ := task.Parameters.(map[string]any)
	name, _ := parameters["FunctionName"].(string)
	payload, err := json.Marshal(parameters["Payload"])
	if err != nil {
		return nil, err
	}
	if clients.Lambda == nil {
		return nil, notServed(lambdaErrors)
	}
	answer, err := clients.Lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: payload})
	if err != nil {
		return nil, lambdaErrors.of(err)
	}
	if answer.FunctionError != nil {
		var told struct {
			ErrorType string `json:"errorType"`
		}
		_ = json.Unmarshal(answer.Payload, &told) // of another form it has no type
		if told.ErrorType == "" {
			told.ErrorType = "Lambda.Unknown"
		}
		return nil, &asl.Failure{Name: told.ErrorType, Cause: string(answer.Payload)}
	}
	decoder := json.NewDecoder(bytes.NewReader(answer.Payload))
	decoder.UseNumber()
	var result any
	if err := decoder.Decode(&result); err != nil {
		return nil, &asl.Failure{Name: asl.TaskFailed, Cause: fmt.Sprintf("the answer of %s is no JSON: %v", name, err)}
	}
	return map[string]any{"Payload": result, "StatusCode": json.Number(fmt.Sprint(answer.StatusCode))}, nil
}

// Services are those that a definition's Tasks call, by the SDK's names.
func Services(definition string) []string {
	found := map[string]bool{}
	for resource := range resources {
		if !strings.Contains(definition, ":states:::"+resource+`"`) {
			continue
		}
		for part, service := range map[string]string{"glue:": glue.ServiceID, "lambda:": lambda.ServiceID,
			"s3:": s3.ServiceID, "sns:": sns.ServiceID} {
			if strings.Contains(resource, part) {
				found[service] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
