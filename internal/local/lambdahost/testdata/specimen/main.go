// Command specimen is the function of the tests: it does what the event tells it, well or badly.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string          `json:"do"`
	Value json.RawMessage `json:"value"`
	Text  string          `json:"text"`
	Size  int             `json:"size"`

	RawPath string            `json:"rawPath"`
	Query   map[string]string `json:"queryStringParameters"`
}

// hang is longer than any test.
const hang = time.Hour

func main() {
	switch os.Getenv("SPECIMEN_START") {
	case "exit":
		fmt.Println("cannot start")
		os.Exit(1)
	case "hang":
		time.Sleep(hang)
	case "error":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		response, err := http.Post(url, "application/json", strings.NewReader(`{"errorType":"Specimen.Start","errorMessage":"no luck"}`))
		if err == nil {
			response.Body.Close()
		}
		os.Exit(1)
	}
	lambda.Start(handle)
}

func handle(ctx context.Context, payload json.RawMessage) (any, error) {
	var e event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, err
	}
	if e.RawPath != "" {
		return serve(e, payload)
	}
	switch e.Do {
	case "echo":
		return e.Value, nil
	case "fail":
		return nil, errors.New(e.Text)
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(e.Size)
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(hang)
	case "hang":
		time.Sleep(hang)
	case "large":
		return strings.Repeat("x", e.Size-2), nil // and two quotation marks
	case "print":
		fmt.Println(e.Text)
	case "environment":
		return os.Environ(), nil
	case "call": // does not answer before the server does
		response, err := http.Get(e.Text)
		if err != nil {
			return nil, err
		}
		return response.Status, response.Body.Close()
	case "spawn":
		child := exec.Command("sleep", "3600")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			return nil, err
		}
		return child.Process.Pid, nil
	case "self":
		invocation, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return map[string]any{
			"pid": os.Getpid(), "temp": os.TempDir(), "left": time.Until(deadline).Milliseconds(), "request": invocation.AwsRequestID,
			"arn": invocation.InvokedFunctionArn, "trace": os.Getenv("_X_AMZN_TRACE_ID"),
		}, nil
	}
	return nil, nil
}

func serve(e event, payload json.RawMessage) (any, error) {
	switch e.Query["answer"] {
	case "whole":
		return map[string]any{
			"statusCode": 201, "headers": map[string]string{"content-type": "text/plain", "x-own": "yes"}, "cookies": []string{"a=1", "b=2"},
			"body": base64.StdEncoding.EncodeToString([]byte("héllo")), "isBase64Encoded": true,
		}, nil
	case "broken":
		return map[string]any{"statusCode": "two hundred"}, nil
	case "fail":
		return nil, errors.New("a secret of the function")
	}
	return payload, nil
}
