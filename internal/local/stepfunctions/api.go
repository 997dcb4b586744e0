package stepfunctions

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"diecast/internal/local/awsjson"
	"diecast/internal/local/stepfunctions/asl"
)

// service is Step Functions in AWS's JSON protocol, version 1.0.
var service = awsjson.Service{
	Target: "AWSStepFunctions.", ContentType: "application/x-amz-json-1.0", Message: "message",
	Invalid: invalid, Unknown: "UnknownOperationException", Internal: "InternalFailure", MaxRequest: 1 << 20,
}

// Exceptions, as the reference names them.
const (
	invalid          = "ValidationException"
	invalidARN       = "InvalidArn"
	invalidName      = "InvalidName"
	invalidInput     = "InvalidExecutionInput"
	invalidToken     = "InvalidToken"
	machineUnknown   = "StateMachineDoesNotExist"
	executionUnknown = "ExecutionDoesNotExist"
	nameTaken        = "ExecutionAlreadyExists"
	tooMany          = "ExecutionLimitExceeded"
	deleting         = "StateMachineDeleting"
)

const (
	// defaultPage and maxPage are how many entries a list tells at a time.
	defaultPage, maxPage = 100, 1000
	// maxName is how many characters an execution's name has.
	maxName = 80
	// forbidden stand in no name, beside spaces and what cannot be printed.
	forbidden = "<>{}[]?*\"#%\\^|~`$&,;:/"
)

func (h *Host) api() http.Handler {
	return awsjson.Handler(service, map[string]awsjson.Operation{
		"StartExecution": awsjson.Of(h.startExecution), "StopExecution": awsjson.Of(h.stopExecution),
		"DescribeExecution":    awsjson.Of(h.describeExecution),
		"GetExecutionHistory":  awsjson.Of(h.getExecutionHistory),
		"ListExecutions":       awsjson.Of(h.listExecutions),
		"DescribeStateMachine": awsjson.Of(h.describeStateMachine),
		"ListStateMachines":    awsjson.Of(h.listStateMachines),
	})
}

type startRequest struct {
	StateMachineARN string `json:"stateMachineArn"`
	Name            string
	Input           *string
	TraceHeader     string
}

func (h *Host) startExecution(input startRequest) (any, error) {
	given := "{}"
	if input.Input != nil {
		given = *input.Input
	}
	switch {
	case !json.Valid([]byte(given)):
		return nil, awsjson.Exceptionf(invalidInput, "the input is no JSON")
	case len(given) > asl.MaxData:
		return nil, awsjson.Exceptionf(invalidInput, "the input has %d bytes: at most %d are allowed", len(given),
			asl.MaxData)
	}
	name := input.Name
	if name == "" {
		name = uuid.NewString()
	}
	if len([]rune(name)) > maxName || strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(forbidden, r)
	}) {
		return nil, awsjson.Exceptionf(invalidName,
			"the name %q: 1 to %d characters are allowed, no spaces and none of %s",
			name, maxName, forbidden)
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.StateMachineARN)
	if err != nil {
		return nil, err
	}
	if h.stopped {
		return nil, awsjson.Exceptionf(deleting, "%v", errStopped)
	}
	underWay := 0
	for _, one := range of.executions {
		switch running := one.underWay(); {
		case one.name == name && running && one.input == given:
			return started(one), nil
		case one.name == name:
			return nil, awsjson.Exceptionf(nameTaken, "Execution Already Exists: '%s'", one.arn)
		case running:
			underWay++
		}
	}
	if underWay >= maxUnderWay {
		return nil, awsjson.Exceptionf(tooMany, "%d executions are under way, %d are allowed", underWay, maxUnderWay)
	}
	return started(h.start(of, name, given)), nil
}

func started(e *execution) any {
	return map[string]any{"executionArn": e.arn, "startDate": seconds(e.begun)}
}

// find is the machine of an ARN. The caller holds the lock.
func (h *Host) find(arn string) (*machine, error) {
	if err := checkARN(arn, "stateMachine", 7); err != nil {
		return nil, err
	}
	if found := h.machines[arn]; found != nil {
		return found, nil
	}
	return nil, awsjson.Exceptionf(machineUnknown, "State Machine Does Not Exist: '%s': there are %s", arn,
		strings.Join(slices.Sorted(maps.Keys(h.machines)), ", "))
}

func checkARN(arn, kind string, parts int) error {
	if split := strings.Split(arn, ":"); len(split) != parts || split[0] != "arn" || split[2] != "states" ||
		split[5] != kind {
		return awsjson.Exceptionf(invalidARN, "Invalid Arn: '%s' is that of no %s", arn, kind)
	}
	return nil
}

// execution of an ARN, with its machine.
func (h *Host) execution(arn string) (*execution, *machine, error) {
	if err := checkARN(arn, "execution", 8); err != nil {
		return nil, nil, err
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, of := range h.machines {
		for _, one := range of.executions {
			if one.arn == arn {
				return one, of, nil
			}
		}
	}
	return nil, nil, awsjson.Exceptionf(executionUnknown, "Execution Does Not Exist: '%s'", arn)
}

type stopRequest struct {
	ExecutionARN string `json:"executionArn"`
	Error, Cause string
}

func (h *Host) stopExecution(input stopRequest) (any, error) {
	found, _, err := h.execution(input.ExecutionARN)
	if err != nil {
		return nil, err
	}
	found.stop(&asl.Stopped{Name: input.Error, Cause: input.Cause})
	<-found.ended
	return map[string]any{"stopDate": seconds(found.finished())}, nil
}

// finished is when an execution ended; zero while it runs.
func (e *execution) finished() time.Time {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	if e.last.Type == "" {
		return time.Time{}
	}
	return e.events[len(e.events)-1].at
}

type describeRequest struct {
	ExecutionARN string `json:"executionArn"`
	IncludedData string
}

// summary is what a list tells of an execution, and the beginning of what its description does.
// Times are in seconds since 1970.
type summary struct {
	ExecutionARN    string  `json:"executionArn"`
	StateMachineARN string  `json:"stateMachineArn"`
	Name            string  `json:"name"`
	Status          string  `json:"status"`
	StartDate       float64 `json:"startDate"`
	StopDate        float64 `json:"stopDate,omitempty"`
}

// statuses by the type of the last event.
var statuses = map[string]string{"": "RUNNING", asl.Succeeded: "SUCCEEDED", asl.Failed: "FAILED",
	asl.TimedOut: "TIMED_OUT", asl.Aborted: "ABORTED"}

func summarise(e *execution, of *machine) summary {
	told := summary{ExecutionARN: e.arn, StateMachineARN: of.arn, Name: e.name, StartDate: seconds(e.begun)}
	if at := e.finished(); !at.IsZero() {
		told.StopDate = seconds(at)
	}
	e.mutex.Lock()
	defer e.mutex.Unlock()
	told.Status = statuses[e.last.Type]
	return told
}

var whole = map[string]bool{"included": true}

func (h *Host) describeExecution(input describeRequest) (any, error) {
	found, of, err := h.execution(input.ExecutionARN)
	if err != nil {
		return nil, err
	}
	told := struct {
		summary
		Input         string          `json:"input"`
		InputDetails  map[string]bool `json:"inputDetails"`
		Output        string          `json:"output,omitempty"`
		OutputDetails map[string]bool `json:"outputDetails,omitempty"`
		Error         string          `json:"error,omitempty"`
		Cause         string          `json:"cause,omitempty"`
	}{summary: summarise(found, of), Input: found.input, InputDetails: whole}
	if told.Status != statuses[""] {
		if told.Output = found.last.Data; told.Output != "" {
			told.OutputDetails = whole
		}
		told.Error, told.Cause = found.last.Error, found.last.Cause
	}
	return told, nil
}

type listRequest struct {
	StateMachineARN string `json:"stateMachineArn"`
	StatusFilter    string
	MaxResults      *int
	NextToken       string
}

// pages are those of all lists.
var pages = awsjson.Pages{Size: "maxResults", Most: maxPage, Default: defaultPage, InvalidSize: invalid,
	InvalidToken: invalidToken}

func (h *Host) listExecutions(input listRequest) (any, error) {
	if filter := input.StatusFilter; filter != "" &&
		!slices.Contains(slices.Collect(maps.Values(statuses)), filter) {
		return nil, awsjson.Exceptionf(invalid,
			"statusFilter is %q: none of RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED",
			filter)
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.StateMachineARN)
	if err != nil {
		return nil, err
	}
	all := []summary{}
	for _, one := range slices.Backward(of.executions) {
		if told := summarise(one, of); input.StatusFilter == "" || told.Status == input.StatusFilter {
			all = append(all, told)
		}
	}
	entries, next, err := awsjson.Page(pages, all, input.MaxResults, input.NextToken)
	return listed("executions", entries, next), err
}

func listed(name string, entries any, next string) any {
	answer := map[string]any{name: entries}
	if next != "" {
		answer["nextToken"] = next
	}
	return answer
}

type historyRequest struct {
	ExecutionARN         string `json:"executionArn"`
	MaxResults           *int
	ReverseOrder         bool
	NextToken            string
	IncludeExecutionData *bool
}

func (h *Host) getExecutionHistory(input historyRequest) (any, error) {
	found, of, err := h.execution(input.ExecutionARN)
	if err != nil {
		return nil, err
	}
	found.mutex.Lock()
	happened := slices.Clone(found.events)
	found.mutex.Unlock()
	data := input.IncludeExecutionData == nil || *input.IncludeExecutionData
	all := make([]map[string]any, len(happened))
	for i, one := range happened {
		all[i] = h.told(one, i, of, data)
	}
	if input.ReverseOrder {
		slices.Reverse(all)
	}
	entries, next, err := awsjson.Page(pages, all, input.MaxResults, input.NextToken)
	return listed("events", entries, next), err
}

// told is an event as the history has it; index is its place in it.
func (h *Host) told(e event, index int, of *machine, withData bool) map[string]any {
	answer := map[string]any{
		"type": e.Type, "id": index + 1, "previousEventId": index, "timestamp": seconds(e.at),
	}
	details, name := map[string]any{}, strings.ToLower(e.Type[:1])+e.Type[1:]
	data := "output"
	switch {
	case strings.HasSuffix(e.Type, "StateEntered"):
		name, data = "stateEntered", "input"
		details["name"] = e.State
	case strings.HasSuffix(e.Type, "StateExited"):
		name = "stateExited"
		details["name"] = e.State
	case e.Type == asl.Started:
		data = "input"
		details["roleArn"] = of.Role
	case e.Resource != "":
		// glue:startJobRun.sync is the resource startJobRun.sync of the type glue.
		at := strings.LastIndex(e.Resource, ":")
		details["resourceType"], details["resource"] = e.Resource[:at], e.Resource[at+1:]
	}
	if e.Type == "TaskScheduled" {
		details["region"], details["parameters"] = h.options.Region, ""
		if withData {
			details["parameters"] = e.Data
		}
		if e.Timeout > 0 {
			details["timeoutInSeconds"] = e.Timeout
		}
		if e.Heartbeat > 0 {
			details["heartbeatInSeconds"] = e.Heartbeat
		}
	} else if e.Data != "" && withData {
		details[data], details[data+"Details"] = e.Data, map[string]bool{"truncated": false}
	}
	for field, text := range map[string]string{"error": e.Error, "cause": e.Cause} {
		if text != "" && withData {
			details[field] = text
		}
	}
	answer[name+"EventDetails"] = details
	return answer
}

type machineRequest struct {
	StateMachineARN string `json:"stateMachineArn"`
	IncludedData    string
}

func (h *Host) describeStateMachine(input machineRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.StateMachineARN)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"stateMachineArn": of.arn, "name": of.Name, "status": "ACTIVE", "definition": of.Definition,
		"roleArn": of.Role, "type": "STANDARD", "creationDate": seconds(of.created),
	}, nil
}

type listMachinesRequest struct {
	MaxResults *int
	NextToken  string
}

func (h *Host) listStateMachines(input listMachinesRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	all := []map[string]any{}
	for _, arn := range slices.Sorted(maps.Keys(h.machines)) {
		of := h.machines[arn]
		all = append(all, map[string]any{"stateMachineArn": of.arn, "name": of.Name, "type": "STANDARD",
			"creationDate": seconds(of.created)})
	}
	entries, next, err := awsjson.Page(pages, all, input.MaxResults, input.NextToken)
	return listed("stateMachines", entries, next), err
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
