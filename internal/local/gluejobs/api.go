package gluejobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// target begins the operations' names in the header that tells them (AWS JSON protocol 1.1).
	target      = "AWSGlue."
	contentType = "application/x-amz-json-1.1"
	// maxRequest bounds a request, in bytes. Glue's own bound is on the arguments: 32 KB.
	maxRequest = 1 << 20
	// maxRuns is how many runs GetJobRuns tells at a time (AWS Glue API reference, GetJobRuns).
	maxRuns = 200
	// maxTimeout is a week in minutes (AWS Glue API reference, Job).
	maxTimeout = 7 * 24 * 60
)

// exception is an error of the API, as the reference names it.
type exception struct{ kind, message string }

func (e *exception) Error() string { return e.kind + ": " + e.message }

func exceptionf(kind, format string, arguments ...any) *exception {
	return &exception{kind, fmt.Sprintf(format, arguments...)}
}

const (
	notFound       = "EntityNotFoundException"
	invalid        = "InvalidInputException"
	tooManyRuns    = "ConcurrentRunsExceededException"
	unknown        = "UnknownOperationException"
	noMoreRequests = "OperationTimeoutException"
)

// api answers operations by the header that names them.
func (h *Host) api() http.Handler {
	operations := map[string]func([]byte) (any, error){
		"StartJobRun": answering(h.startJobRun), "GetJobRun": answering(h.getJobRun),
		"GetJobRuns": answering(h.getJobRuns), "BatchStopJobRun": answering(h.batchStopJobRun),
	}
	known := strings.Join(slices.Sorted(maps.Keys(operations)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		operation, ok := operations[strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target)]
		if r.Method != http.MethodPost || !ok {
			asked := r.Method + " " + r.Header.Get("X-Amz-Target")
			respond(w, nil, exceptionf(unknown, "%s is not known here: %s are", asked, known))
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			respond(w, nil, exceptionf(invalid, "the request cannot be read: %v", err))
			return
		}
		answer, err := operation(body)
		respond(w, answer, err)
	})
}

// answering decodes an operation's input. What it does not know it refuses: it would not be
// honoured.
func answering[Input any](operate func(Input) (any, error)) func([]byte) (any, error) {
	return func(body []byte) (any, error) {
		var input Input
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&input); err != nil {
			return nil, exceptionf(invalid, "the request is not understood: %v", err)
		}
		return operate(input)
	}
}

func respond(w http.ResponseWriter, answer any, err error) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("X-Amzn-Requestid", uuid.NewString())
	if err == nil {
		_ = json.NewEncoder(w).Encode(answer) // the caller has hung up
		return
	}
	refused := &exception{"InternalServiceException", err.Error()}
	status := http.StatusInternalServerError
	if errors.As(err, &refused) {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	// As above.
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": refused.kind, "Message": refused.message})
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
		return nil, &exception{noMoreRequests, errStopped.Error()}
	}
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	timeout := of.Timeout
	if input.Timeout != nil {
		if *input.Timeout < 1 || *input.Timeout > maxTimeout {
			return nil, exceptionf(invalid, "Timeout is %d: 1 to %d minutes are allowed", *input.Timeout, maxTimeout)
		}
		timeout = time.Duration(*input.Timeout) * time.Minute
	}
	if input.JobRunQueuingEnabled {
		return nil, exceptionf(invalid, "JobRunQueuingEnabled is true: no run waits here for another")
	}
	if _, err := settings(input.Arguments); err != nil {
		return nil, exceptionf(invalid, "%v", err)
	}
	underWay := 0
	for _, one := range of.runs {
		if one.underWay() {
			underWay++
		}
	}
	if underWay >= of.MaxConcurrentRuns {
		return nil, exceptionf(tooManyRuns, "Concurrent runs exceeded for %s: %d under way, %d allowed",
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
	return nil, exceptionf(notFound, "no job is called %q: the jobs are %s", name, known)
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
		return nil, exceptionf(notFound, "job %s has no run %q", of.Name, input.RunID)
	}
	return map[string]any{"JobRun": describe(of.runs[at])}, nil
}

type listRequest struct {
	JobName    string
	MaxResults *int
	NextToken  string
}

func (h *Host) getJobRuns(input listRequest) (any, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	of, err := h.find(input.JobName)
	if err != nil {
		return nil, err
	}
	most := maxRuns
	if input.MaxResults != nil {
		if most = *input.MaxResults; most < 1 || most > maxRuns {
			return nil, exceptionf(invalid, "MaxResults is %d: 1 to %d are allowed", most, maxRuns)
		}
	}
	from := 0
	if input.NextToken != "" {
		if from, err = strconv.Atoi(input.NextToken); err != nil || from < 0 || from > len(of.runs) {
			return nil, exceptionf(invalid, "NextToken is %q: it is none of GetJobRuns'", input.NextToken)
		}
	}
	answer := struct {
		JobRuns   []jobRun
		NextToken string `json:",omitempty"`
	}{JobRuns: []jobRun{}}
	all := newestFirst(of.runs)[from:]
	for _, one := range all[:min(most, len(all))] {
		answer.JobRuns = append(answer.JobRuns, describe(one))
	}
	if len(all) > most {
		answer.NextToken = strconv.Itoa(from + most)
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
