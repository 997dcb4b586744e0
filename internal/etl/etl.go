// Package etl operates a deployment's batch path, on AWS and on this machine alike: it starts
// executions of the state machine, follows them, reads what runs tell of themselves in the lake,
// and publishes a run that is kept.
//
// It knows the contract of a run (internal/trainingset) and the deployment's names, not how a run
// is made.
package etl

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"diecast/internal/deployment"
	"diecast/internal/trainingset"
	"diecast/internal/wait"
)

// Target is the batch path of a deployment.
type Target struct {
	Machines *sfn.Client
	Jobs     *glue.Client
	Buckets  *s3.Client
	// Machine is an ARN, Job and Lake are physical names.
	Machine, Job, Lake string
	// Region is that of a deployment on AWS; empty on this machine, where nothing is charged.
	Region string
	// Pause between two questions about an execution. Default: the package's.
	Pause time.Duration
	// answerWithin is how long one question about a run of the job may take. Default: the
	// package's.
	answerWithin time.Duration
}

// TargetOf is a deployment's batch path, with clients that reach it.
func TargetOf(ctx context.Context, deployed *deployment.Deployment) (Target, error) {
	names, err := deployed.Batch()
	machines, machinesErr := deployed.StepFunctions(ctx)
	jobs, jobsErr := deployed.Glue(ctx)
	buckets, bucketsErr := deployed.S3(ctx)
	if err := errors.Join(err, machinesErr, jobsErr, bucketsErr); err != nil {
		return Target{}, err
	}
	target := Target{Machines: machines, Jobs: jobs, Buckets: buckets, Machine: names.Machine, Job: names.Job,
		Lake: names.Lake}
	if !deployed.OnThisMachine() {
		target.Region = jobs.Options().Region
	}
	return target, nil
}

// runName is a new run's, as the job names its own: the time, and what makes it unique.
func runName(now time.Time) string {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(random)
}

// Execution is one of the state machine, which has its run's name.
type Execution struct {
	Run string
	ARN string
}

// Start starts an execution whose job gets these arguments, by name with its dashes, over those
// that it has of its own.
func (t Target) Start(ctx context.Context, arguments map[string]string) (Execution, error) {
	run := runName(time.Now())
	if arguments == nil {
		arguments = map[string]string{} // null would be no object
	}
	input, err := json.Marshal(map[string]any{"arguments": arguments})
	if err != nil {
		return Execution{}, err
	}
	started, err := wait.Answer(ctx, answerWithin, t.Machines.StartExecution, &sfn.StartExecutionInput{
		StateMachineArn: &t.Machine, Name: &run, Input: aws.String(string(input)),
	})
	if err != nil {
		return Execution{}, fmt.Errorf("starting the state machine %s: %w", t.Machine, err)
	}
	return Execution{Run: run, ARN: *started.ExecutionArn}, nil
}

const (
	// answerWithin is how long one question may take.
	answerWithin = 20 * time.Second
	// askAgain is the pause between two questions about an execution.
	askAgain = time.Second
	// longest is more than an execution takes at most: the job's time-out has up to a day.
	longest = 26 * time.Hour
)

// Progress is where an execution stands.
type Progress struct {
	// State of the state machine.
	State string `json:"state"`
	// Job is the state of the job's run, as Glue names it; empty where there is none yet.
	Job string `json:"job_state,omitempty"`
	// Stage is the job's own, as its outcome tells it; empty until it does.
	Stage string `json:"stage,omitempty"`
}

// Report is how an execution ended.
type Report struct {
	Run    string `json:"run_id"`
	Status string `json:"status"`
	// Error and Cause are those of an execution that did not succeed.
	Error string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
	// Elapsed is from the start of the execution to its end.
	Elapsed time.Duration `json:"-"`
	// Outcome is what the run tells of itself; nil where it has told nothing.
	Outcome *trainingset.Outcome `json:"outcome,omitempty"`
	// Cost is that of the job's run; nil where none began.
	Cost *Cost `json:"cost,omitempty"`
}

// Succeeded says whether the run is published and the topic was told.
func (r Report) Succeeded() bool { return r.Status == string(sfntypes.ExecutionStatusSucceeded) }

// Watch waits until an execution has ended, and reads what there is to tell of it. Progress is told
// where it stands as often as it asks. When the context ends, the execution goes on.
func (t Target) Watch(ctx context.Context, execution Execution, progress func(Progress)) (Report, error) {
	var ended *sfn.DescribeExecutionOutput
	err := wait.Rule{For: longest, Pause: cmp.Or(t.Pause, askAgain)}.Until(ctx, func(ctx context.Context) error {
		told, err := wait.Answer(ctx, answerWithin, t.Machines.DescribeExecution,
			&sfn.DescribeExecutionInput{ExecutionArn: &execution.ARN})
		if err != nil {
			return wait.Permanent(err)
		}
		if told.Status == sfntypes.ExecutionStatusRunning {
			progress(t.progress(ctx, execution))
			return errors.New("it is under way")
		}
		ended = told
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("execution %s: %w", execution.Run, err)
	}
	report := Report{Run: execution.Run, Status: string(ended.Status), Error: aws.ToString(ended.Error),
		Cause: aws.ToString(ended.Cause), Elapsed: ended.StopDate.Sub(*ended.StartDate)}
	outcome, err := t.Outcome(ctx, execution.Run)
	if err == nil {
		report.Outcome = &outcome
	} else if !missing(err) {
		return report, err
	}
	run, err := t.jobRun(ctx, execution.Run)
	if run != nil {
		report.Cost = costOf(run, t.Region)
	}
	return report, err
}

// progress is where an execution stands, as far as it can be told: what cannot be asked is asked
// again soon.
func (t Target) progress(ctx context.Context, execution Execution) Progress {
	told := Progress{}
	history, err := wait.Answer(ctx, answerWithin, t.Machines.GetExecutionHistory, &sfn.GetExecutionHistoryInput{
		ExecutionArn: &execution.ARN, ReverseOrder: true, MaxResults: 20, IncludeExecutionData: aws.Bool(false),
	})
	if err == nil {
		for _, event := range history.Events {
			if entered := event.StateEnteredEventDetails; entered != nil {
				told.State = aws.ToString(entered.Name)
				break
			}
		}
	}
	if run, err := t.jobRun(ctx, execution.Run); err == nil && run != nil {
		told.Job = string(run.JobRunState)
	}
	if outcome, err := t.Outcome(ctx, execution.Run); err == nil {
		told.Stage = outcome.Stage
	}
	return told
}

// latestRuns are those among which an execution's is looked for: the newest, which Glue tells
// first.
const latestRuns = 25

// jobRun is the job's run that was given the run's name; nil where there is none.
func (t Target) jobRun(ctx context.Context, run string) (*gluetypes.JobRun, error) {
	answer, err := wait.Answer(ctx, answerWithin, t.Jobs.GetJobRuns,
		&glue.GetJobRunsInput{JobName: &t.Job, MaxResults: aws.Int32(latestRuns)})
	if err != nil {
		return nil, fmt.Errorf("runs of the job %s: %w", t.Job, err)
	}
	for _, one := range answer.JobRuns {
		if one.Arguments["--run-id"] == run {
			return &one, nil
		}
	}
	return nil, nil
}

// Cost is what a run of the job used, and costs.
type Cost struct {
	// DPUSeconds are data processing units times seconds; 0 on this machine.
	DPUSeconds float64 `json:"dpu_seconds"`
	// USD at the price of Region; 0 where Region is empty.
	USD float64 `json:"usd"`
	// Region whose price it is, which is us-east-1's whatever the deployment's; empty where nothing
	// is charged.
	Region string `json:"price_of_region,omitempty"`
	// Class is STANDARD or FLEX.
	Class string `json:"execution_class,omitempty"`
}

// prices of a DPU for an hour in us-east-1, in USD, by execution class
// (aws.amazon.com/glue/pricing, 2026-11; Flex's not verified in an account).
var prices = map[gluetypes.ExecutionClass]float64{
	gluetypes.ExecutionClassStandard: 0.44, gluetypes.ExecutionClassFlex: 0.29,
}

// pricedRegion is the one whose prices are known here.
const pricedRegion = "us-east-1"

// leastSeconds are charged for the shortest run.
const leastSeconds = 60

func costOf(run *gluetypes.JobRun, region string) *Cost {
	if region == "" {
		return &Cost{}
	}
	class := run.ExecutionClass
	if class == "" {
		class = gluetypes.ExecutionClassStandard
	}
	capacity := aws.ToFloat64(run.MaxCapacity)
	used := float64(run.ExecutionTime) * capacity
	if run.DPUSeconds != nil { // told of Flex and of jobs that scale by themselves
		used = *run.DPUSeconds
	}
	charged := used
	if run.ExecutionTime > 0 {
		charged = max(used, leastSeconds*capacity)
	}
	return &Cost{DPUSeconds: used, USD: charged / 3600 * prices[class], Region: pricedRegion, Class: string(class)}
}

// object reads one of the lake's, with its entity tag.
func (t Target) object(ctx context.Context, key string) (content []byte, tag string, err error) {
	object, err := t.Buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Lake, Key: &key})
	if err != nil {
		return nil, "", fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
	}
	defer object.Body.Close()
	content, err = io.ReadAll(io.LimitReader(object.Body, trainingset.MaxBytes+1))
	if err != nil {
		return nil, "", fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
	}
	return content, aws.ToString(object.ETag), nil
}

// missing says whether an object is not there.
func missing(err error) bool {
	var absent *s3types.NoSuchKey
	return errors.As(err, &absent)
}

func decoded[T any](ctx context.Context, t Target, key string, decode func([]byte) (T, error)) (T, error) {
	content, _, err := t.object(ctx, key)
	if err != nil {
		var none T
		return none, err
	}
	document, err := decode(content)
	if err != nil {
		return document, fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
	}
	return document, nil
}

func folder(run string) string { return trainingset.Prefix + "/" + run + "/" }

// Outcome is what a run tells of itself.
func (t Target) Outcome(ctx context.Context, run string) (trainingset.Outcome, error) {
	return decoded(ctx, t, folder(run)+trainingset.OutcomeName, trainingset.DecodeOutcome)
}

// Manifest is that of a run which came to its end.
func (t Target) Manifest(ctx context.Context, run string) (trainingset.Manifest, error) {
	return decoded(ctx, t, folder(run)+trainingset.ManifestName, trainingset.Decode)
}

// Arguments of the job by the words of whoever starts a run: an empty value is left out, and the
// job has its own.
func Arguments(given map[string]string) map[string]string {
	arguments := map[string]string{}
	for name, value := range given {
		if value != "" {
			arguments["--"+name] = value
		}
	}
	return arguments
}
