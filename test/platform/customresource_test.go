package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/installed"
	"diecast/internal/models"
	"diecast/internal/surroundings"
)

// maxAnswer is what CloudFormation takes of a custom resource, in bytes.
// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
const maxAnswer = 4096

// handler is a Node function of CDK's own in the assembly.
type handler struct {
	folder, name string
	// environment beside that of every process here.
	environment map[string]string
	invokeURL   string
}

// answer is what CloudFormation gets.
type answer struct {
	Status, Reason     string
	PhysicalResourceID string `json:"PhysicalResourceId"`
	Data               map[string]any
}

// assemblyHandler is the one function of a stack with this handler, such as framework.onEvent.
func assemblyHandler(t *testing.T, stack, name string) handler {
	t.Helper()
	for _, resource := range resources(t, stack) {
		if resource.Type == "AWS::Lambda::Function" && resource.Properties["Handler"] == name {
			asset := strings.TrimSuffix(resource.Properties["Code"].(map[string]any)["S3Key"].(string), ".zip")
			folder, err := filepath.Abs(filepath.Join(synthesized, "asset."+asset))
			require.NoError(t, err)
			return handler{folder: folder, name: name}
		}
	}
	t.Fatalf("stack %s has no function with the handler %s", stack, name)
	return handler{}
}

type assembled struct {
	Type       string
	Properties map[string]any
}

func resources(t *testing.T, stack string) map[string]assembled {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(synthesized, stack+".template.json"))
	require.NoError(t, err)
	var template struct{ Resources map[string]assembled }
	require.NoError(t, json.Unmarshal(text, &template))
	return template.Resources
}

// customProperties are those of the first resource of a type, as CloudFormation sends them.
func customProperties(t *testing.T, stack, kind string) map[string]any {
	t.Helper()
	for _, resource := range resources(t, stack) {
		if resource.Type == kind {
			properties := maps.Clone(resource.Properties)
			properties["ServiceToken"] = "arn:aws:lambda:us-east-1:123456789012:function:provider"
			return properties
		}
	}
	t.Fatalf("stack %s has no %s", stack, kind)
	return nil
}

// send is one event, and what CloudFormation gets for it.
func (h handler) send(t *testing.T, event map[string]any) answer {
	t.Helper()
	node, err := installed.Node()
	require.NoError(t, err)
	whole := map[string]any{
		"RequestId": uuid.NewString(), "ResponseURL": "https://cloudformation.example.com/answer?signature=s",
		"StackId": "arn:aws:cloudformation:ap-southeast-2:123456789012:stack/" + strings.Repeat("s", 128) +
			"/00000000-0000-0000-0000-000000000000",
		"LogicalResourceId": strings.Repeat("L", 255), "ResourceType": "Custom::Tried",
		"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:provider",
	}
	maps.Copy(whole, event)
	input, err := json.Marshal(whole)
	require.NoError(t, err)
	folder := t.TempDir()
	file := filepath.Join(folder, "answer.json")
	script, err := filepath.Abs(filepath.Join("testdata", "handler.js"))
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), node, script, h.folder, h.name, file, h.invokeURL)
	command.Stdin = bytes.NewReader(input)
	command.Env = surroundings.List(surroundings.Bare(folder), h.environment)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, err := os.ReadFile(file)
	require.NoError(t, err, "CloudFormation waits for an hour: %s", output)
	assert.Less(t, len(text), maxAnswer, "%s", text)
	var got answer
	require.NoError(t, json.Unmarshal(text, &got))
	return got
}

// invoker has a run's functions invoked.
func invoker(t *testing.T, running started) string {
	t.Helper()
	functions, err := running.deployed.Lambda(t.Context())
	require.NoError(t, err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		result, err := functions.Invoke(context.WithoutCancel(r.Context()), &lambda.InvokeInput{
			FunctionName: aws.String(r.Header.Get("Function")), Payload: payload,
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if result.FunctionError != nil {
			w.Header().Set("Function-Error", *result.FunctionError)
		}
		_, _ = w.Write(result.Payload) // the handler has gone
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// What the framework says of a Create that failed, and of one that was never answered.
const (
	createFailed = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"
	missing      = "AWSCDK::CustomResourceProviderFramework::MISSING_PHYSICAL_ID"
)

// CloudFormation's life cycle of a custom resource is sent through CDK's own provider framework, as
// it lies in the assembly, to the loaders of a run.
func TestLoadersLiveAsCustomResourcesDo(t *testing.T) {
	running := start(t, synthesized)
	invokeURL := invoker(t, running)
	long := strings.Repeat("<é\"\x01>", 1500)
	for kind, loader := range map[string]struct {
		stack, id string
		function  outputs.Output
		// wrong are properties with which nothing can be made, for a reason; old ones cannot even
		// be read.
		wrong  map[string]any
		reason string
		old    map[string]any
	}{
		"Custom::VectorLoad": {
			stack: "VectorsData", id: "vector-store", function: outputs.VectorsLoaderFunctionName,
			wrong: map[string]any{"ModelVersion": long}, reason: "want " + models.VersionRule,
			old: map[string]any{"ModelVersion": []string{"x"}},
		},
		"Custom::SourceLoad": {
			stack: "BatchData", id: "source-database", function: outputs.SourceLoaderFunctionName,
			wrong: map[string]any{"Kind": long}, reason: "are allowed",
			old: map[string]any{"Scale": map[string]any{"x": "y"}},
		},
	} {
		t.Run(kind, func(t *testing.T) {
			framework := assemblyHandler(t, loader.stack, "framework.onEvent")
			framework.invokeURL = invokeURL
			framework.environment = map[string]string{"USER_ON_EVENT_FUNCTION_ARN": output(t, running, loader.function)}
			good := customProperties(t, loader.stack, kind)
			with := func(changed map[string]any) map[string]any {
				properties := maps.Clone(good)
				maps.Copy(properties, changed)
				return properties
			}
			create := map[string]any{"RequestType": "Create", "RequestId": uuid.NewString(), "ResourceProperties": good}
			deleted := func(id string, properties map[string]any) {
				t.Helper()
				got := framework.send(t, map[string]any{"RequestType": "Delete", "PhysicalResourceId": id,
					"ResourceProperties": properties})
				assert.Equal(t, "SUCCESS", got.Status, got.Reason)
				assert.Equal(t, id, got.PhysicalResourceID)
			}

			// A Create that was cancelled: nobody knows what it made, nor its id.
			for _, id := range []string{
				"diecast-Data-Load-1ABCDEFGHIJKL", strings.Repeat("i", 1024), createFailed, missing,
			} {
				deleted(id, good)
				deleted(id, with(loader.old))
			}

			// A Create that fails, and its Delete.
			failed := framework.send(t, map[string]any{"RequestType": "Create",
				"ResourceProperties": with(loader.wrong)})
			assert.Equal(t, "FAILED", failed.Status)
			assert.Equal(t, createFailed, failed.PhysicalResourceID)
			assert.Contains(t, failed.Reason, loader.reason)
			deleted(failed.PhysicalResourceID, with(loader.wrong))

			// A Create, the same event again, twice at once, and with an answer that got lost.
			first := framework.send(t, create)
			require.Equal(t, "SUCCESS", first.Status, first.Reason)
			assert.Equal(t, loader.id, first.PhysicalResourceID)
			assert.NotEmpty(t, first.Data)
			var atOnce sync.WaitGroup
			for range 2 {
				atOnce.Go(func() { assert.Equal(t, first, framework.send(t, create)) })
			}
			atOnce.Wait()
			framework.environment["ANSWERS_LOST"] = "1"
			assert.Equal(t, first, framework.send(t, create))
			delete(framework.environment, "ANSWERS_LOST")

			// An Update that fails, and the way back, whose old properties are those that failed.
			for _, wrong := range []map[string]any{loader.wrong, loader.old} {
				failed = framework.send(t, map[string]any{"RequestType": "Update", "PhysicalResourceId": loader.id,
					"ResourceProperties": with(wrong), "OldResourceProperties": good})
				assert.Equal(t, "FAILED", failed.Status)
				assert.Equal(t, loader.id, failed.PhysicalResourceID)
				back := framework.send(t, map[string]any{"RequestType": "Update", "PhysicalResourceId": loader.id,
					"ResourceProperties": good, "OldResourceProperties": with(wrong)})
				assert.Equal(t, first, back)
			}
			// One that a program of old times made under another id keeps it, so that nothing is
			// deleted.
			kept := framework.send(t, map[string]any{"RequestType": "Update", "PhysicalResourceId": "of-old",
				"ResourceProperties": good, "OldResourceProperties": good})
			assert.Equal(t, "of-old", kept.PhysicalResourceID)
			deleted(loader.id, good)
		})
	}
}

// The roles of services are asked for by CDK's own function.
func TestServiceLinkedRolesLiveAsCustomResourcesDo(t *testing.T) {
	const logStream = "2026/11/28/[$LATEST]0123456789abcdef" // of testdata/handler.js
	aws := assemblyHandler(t, "Network", "index.handler")
	properties := customProperties(t, "Network", "Custom::ServiceLinkedRole")
	for name, c := range map[string]struct{ event, refuses, status, id string }{
		"made":                       {"Create", "", "SUCCESS", ""},
		"there already, or repeated": {"Create", "InvalidInputException", "SUCCESS", ""},
		"not allowed":                {"Create", "AccessDeniedException", "FAILED", logStream},
		"updated":                    {"Update", "AccessDeniedException", "SUCCESS", "rds.amazonaws.com"},
		"deleted":                    {"Delete", "AccessDeniedException", "SUCCESS", "rds.amazonaws.com"},
		"deleted after a failure":    {"Delete", "AccessDeniedException", "SUCCESS", logStream},
		"deleted, never made":        {"Delete", "AccessDeniedException", "SUCCESS", "diecast-Network-1ABCDEFGHIJKL"},
	} {
		t.Run(name, func(t *testing.T) {
			event := map[string]any{"RequestType": c.event, "ResourceProperties": maps.Clone(properties)}
			if c.event != "Create" {
				event["PhysicalResourceId"] = c.id
			}
			aws.environment = map[string]string{"IAM_REFUSES": c.refuses}
			got := aws.send(t, event)
			assert.Equal(t, c.status, got.Status, got.Reason)
			if c.id == "" {
				assert.Regexp(t, `^[a-z]+\.amazonaws\.com$`, got.PhysicalResourceID)
			} else {
				assert.Equal(t, c.id, got.PhysicalResourceID)
			}
		})
	}
}
