package gluejobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"diecast/internal/local/awsjson"
)

// service is Glue in AWS's JSON protocol, version 1.1.
var service = awsjson.Service{
	Target: "AWSGlue.", ContentType: "application/x-amz-json-1.1", Message: "Message",
	Invalid: invalid, Unknown: "UnknownOperationException", Internal: "InternalServiceException",
	// Glue's own bound is on the arguments: 32 KB.
	MaxRequest: 1 << 20,
}

const (
	// maxRuns is how many runs GetJobRuns tells at a time (AWS Glue API reference, GetJobRuns).
	maxRuns = 200
	// maxTimeout is a week in minutes (AWS Glue API reference, Job).
	maxTimeout = 7 * 24 * 60
)

const (
	notFound       = "EntityNotFoundException"
	invalid        = "InvalidInputException"
	tooManyRuns    = "ConcurrentRunsExceededException"
	noMoreRequests = "OperationTimeoutException"
)

// api answers operations by the header that names them.
func (h *Host) api() http.Handler {
	return awsjson.Handler(service, map[string]awsjson.Operation{
		"StartJobRun": awsjson.Of(h.startJobRun), "GetJobRun": awsjson.Of(h.getJobRun),
		"GetJobRuns": awsjson.Of(h.getJobRuns), "BatchStopJobRun": awsjson.Of(h.batchStopJobRun),
	})
}

// startRequest is StartJobRun's input. What says how large a run is has no meaning here.
type startRequest struct {
	JobName   string
	Arguments map[string]string
	// Timeout in minutes.
	Timeout *int

	JobRunQueuingEnabled bool
	AllocatedCapacity    json.RawMessage
	ExecutionClass       json.RawMessage
	MaxCapacity          json.RawMessage
	NumberOfWorkers      json.RawMessage
	WorkerType           json.RawMessage
}

func (h *Host) startJobRun(input startRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.stopped {
		return nil, awsjson.Exceptionf(noMoreRequests, "%v", errStopped)
	}
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	timeout := of.Timeout
	if input.Timeout != nil {
		if *input.Timeout < 1 || *input.Timeout > maxTimeout {
			return nil, awsjson.Exceptionf(invalid, "Timeout is %d: 1 to %d minutes are allowed", *input.Timeout,
				maxTimeout)
		}
		timeout = time.Duration(*input.Timeout) * time.Minute
	}
	if input.JobRunQueuingEnabled {
		return nil, awsjson.Exceptionf(invalid, "JobRunQueuingEnabled is true: no run waits here for another")
	}
	if _, err := settings(input.Arguments); err != nil {
		return nil, awsjson.Exceptionf(invalid, "%v", err)
	}
	underWay := 0
	for _, one := range of.runs {
		if one.underWay() {
			underWay++
		}
	}
	if underWay >= of.MaxConcurrentRuns {
		return nil, awsjson.Exceptionf(tooManyRuns, "Concurrent runs exceeded for %s: %d under way, %d allowed",
			of.Name, underWay, of.MaxConcurrentRuns)
	}
	return map[string]string{"JobRunId": h.start(of, input.Arguments, timeout).id}, nil
}

// find is the job of a name. The caller holds the lock.
func (h *Host) find(name string) (*job, error) {
	if found := h.jobs[name]; found != nil {
		return found, nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(h.jobs)), ", ")
	return nil, awsjson.Exceptionf(notFound, "no job is called %q: the jobs are %s", name, known)
}

type getRequest struct {
	JobName              string
	RunID                string `json:"RunId"`
	PredecessorsIncluded bool
}

func (h *Host) getJobRun(input getRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(of.runs, func(one *run) bool { return one.id == input.RunID })
	if at < 0 {
		return nil, awsjson.Exceptionf(notFound, "job %s has no run %q", of.Name, input.RunID)
	}
	return map[string]any{"JobRun": describe(of.runs[at])}, nil
}

type listRequest struct {
	JobName    string
	MaxResults *int
	NextToken  string
}

// pages are those of GetJobRuns.
var pages = awsjson.Pages{Size: "MaxResults", Least: 1, Most: maxRuns, Default: maxRuns, InvalidSize: invalid,
	InvalidToken: invalid}

func (h *Host) getJobRuns(input listRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	shown, next, err := awsjson.Page(pages, newestFirst(of.runs), input.MaxResults, input.NextToken)
	if err != nil {
		return nil, err
	}
	answer := struct {
		JobRuns   []jobRun
		NextToken string `json:",omitempty"`
	}{JobRuns: []jobRun{}, NextToken: next}
	for _, one := range shown {
		answer.JobRuns = append(answer.JobRuns, describe(one))
	}
	return answer, nil
}

type stopRequest struct {
	JobName   string
	JobRunIDs []string `json:"JobRunIds"`
}

// batchStopJobRun asks runs to end; that they have GetJobRun tells.
func (h *Host) batchStopJobRun(input stopRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	type told struct {
		JobName  string
		JobRunID string            `json:"JobRunId"`
		Error    map[string]string `json:"ErrorDetail,omitempty"`
	}
	answer := struct{ SuccessfulSubmissions, Errors []told }{[]told{}, []told{}}
	for _, id := range input.JobRunIDs {
		at := slices.IndexFunc(of.runs, func(one *run) bool { return one.id == id })
		if at < 0 {
			answer.Errors = append(answer.Errors, told{of.Name, id, map[string]string{
				"ErrorCode": notFound, "ErrorMessage": fmt.Sprintf("job %s has no run %q", of.Name, id),
			}})
			continue
		}
		of.runs[at].stop(errors.New("the run was stopped on request"))
		answer.SuccessfulSubmissions = append(answer.SuccessfulSubmissions, told{JobName: of.Name, JobRunID: id})
	}
	return answer, nil
}

// jobRun is the structure JobRun. Times are in seconds since 1970.
type jobRun struct {
	ID            string `json:"Id"`
	Attempt       int
	JobName       string
	JobRunState   state
	StartedOn     float64
	LastModified  float64           `json:"LastModifiedOn"`
	CompletedOn   float64           `json:",omitempty"`
	ExecutionTime int               // in seconds
	Timeout       int               // in minutes
	Arguments     map[string]string `json:",omitempty"`
	ErrorMessage  string            `json:",omitempty"`
	GlueVersion   string
}

// glueVersion is the one that the laptop's Spark is that of.
const glueVersion = "5.1"

func describe(r *run) jobRun {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	until := time.Now()
	if !r.finished.IsZero() {
		until = r.finished
	}
	told := jobRun{
		ID: r.id, JobName: r.job, JobRunState: r.state, StartedOn: seconds(r.begun), LastModified: seconds(r.changed),
		ExecutionTime: int(until.Sub(r.begun).Seconds()), Timeout: int(r.timeout.Minutes()), Arguments: r.arguments,
		ErrorMessage: r.message, GlueVersion: glueVersion,
	}
	if !r.finished.IsZero() {
		told.CompletedOn = seconds(r.finished)
	}
	return told
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
