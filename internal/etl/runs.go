package etl

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"diecast/internal/trainingset"
)

// Run is one that the lake keeps.
type Run struct {
	ID string `json:"run_id"`
	// Published marks the one that programs read.
	Published bool `json:"published"`
	// Complete says that it has a manifest and can be published.
	Complete bool `json:"complete"`
	// Status is its outcome's; empty where it has none that can be read.
	Status    trainingset.Status   `json:"status,omitempty"`
	Stage     string               `json:"stage,omitempty"`
	StartedAt time.Time            `json:"started_at,omitzero"`
	Strategy  trainingset.Strategy `json:"strategy,omitempty"`
	// Ratings are rows of the table; 0 where it is not complete.
	Ratings int64 `json:"ratings"`
	// Problem is what is wrong with its files; empty where nothing is.
	Problem string `json:"problem,omitempty"`
}

// questions at a time.
const questions = 8

// Runs are those that the lake keeps, the newest first.
func (t Target) Runs(ctx context.Context) ([]Run, error) {
	published, _, err := t.Published(ctx)
	if err != nil {
		return nil, err
	}
	var found []string
	pages := s3.NewListObjectsV2Paginator(t.Buckets, &s3.ListObjectsV2Input{
		Bucket: &t.Lake, Prefix: aws.String(trainingset.Prefix + "/"), Delimiter: aws.String("/"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("s3://%s/%s/: %w", t.Lake, trainingset.Prefix, err)
		}
		for _, below := range page.CommonPrefixes {
			found = append(found, strings.TrimSuffix(strings.TrimPrefix(*below.Prefix, trainingset.Prefix+"/"), "/"))
		}
	}
	runs := make([]Run, len(found))
	group, asking := errgroup.WithContext(ctx)
	group.SetLimit(questions)
	for i, id := range found {
		group.Go(func() error {
			run, err := t.run(asking, id)
			run.Published = id == published.RunID
			runs[i] = run
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(runs, func(a, b Run) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), strings.Compare(b.ID, a.ID))
	})
	return runs, nil
}

// run reads outcome and manifest of a folder. What is wrong with them is the run's problem, not the
// list's.
func (t Target) run(ctx context.Context, id string) (Run, error) {
	run := Run{ID: id}
	outcome, err := t.Outcome(ctx, id)
	switch {
	case err == nil:
		run.Status, run.Stage, run.StartedAt = outcome.Status, outcome.Stage, outcome.StartedAt
	case ctx.Err() != nil:
		return run, context.Cause(ctx)
	case !missing(err):
		run.Problem = err.Error()
	}
	manifest, err := t.Manifest(ctx, id)
	switch {
	case err == nil:
		run.Complete, run.Strategy, run.Ratings = true, manifest.Strategy, manifest.Tables.Ratings.Rows
		if run.StartedAt.IsZero() {
			run.StartedAt = manifest.CreatedAt
		}
	case ctx.Err() != nil:
		return run, context.Cause(ctx)
	case !missing(err):
		run.Problem = err.Error()
	}
	return run, nil
}

// Status is what is published and what is under way.
type Status struct {
	// Published is the run that programs read; nil where there is none.
	Published *trainingset.Published `json:"published"`
	// UnderWay is the job's run that has not ended, however it was started; nil where there is
	// none.
	UnderWay *JobRun `json:"under_way"`
	// Executions of the state machine, the newest first.
	Executions []Ended `json:"executions"`
}

// JobRun is a run of the job as Glue tells of it.
type JobRun struct {
	// ID is Glue's, Run the one in the lake; empty where the job named that itself.
	ID    string    `json:"job_run_id"`
	Run   string    `json:"run_id,omitempty"`
	State string    `json:"state"`
	Since time.Time `json:"since"`
}

// Ended is an execution, over or not.
type Ended struct {
	Run       string     `json:"run_id"`
	Status    string     `json:"status"`
	StartedAt time.Time  `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	// Cause is told of the newest one that failed.
	Cause string `json:"cause,omitempty"`
}

// executions that Status tells of.
const executions = 10

// Status asks what is published and what is under way.
func (t Target) Status(ctx context.Context) (Status, error) {
	var status Status
	published, tag, err := t.Published(ctx)
	if err != nil {
		return Status{}, err
	}
	if tag != "" {
		status.Published = &published
	}
	if status.UnderWay, err = t.underWay(ctx); err != nil {
		return Status{}, err
	}
	listed, err := t.Machines.ListExecutions(ctx, &sfn.ListExecutionsInput{
		StateMachineArn: &t.Machine, MaxResults: executions,
	})
	if err != nil {
		return Status{}, fmt.Errorf("executions of %s: %w", t.Machine, err)
	}
	explained := false
	for _, one := range listed.Executions {
		ended := Ended{Run: *one.Name, Status: string(one.Status), StartedAt: *one.StartDate, EndedAt: one.StopDate}
		if !explained && ended.Status == "FAILED" {
			told, err := t.Machines.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: one.ExecutionArn})
			if err != nil {
				return Status{}, fmt.Errorf("execution %s: %w", *one.Name, err)
			}
			ended.Cause, explained = aws.ToString(told.Cause), true
		}
		status.Executions = append(status.Executions, ended)
	}
	return status, nil
}

// over are the states of a job's run that has ended.
var over = []gluetypes.JobRunState{gluetypes.JobRunStateSucceeded, gluetypes.JobRunStateFailed,
	gluetypes.JobRunStateStopped, gluetypes.JobRunStateTimeout, gluetypes.JobRunStateError,
	gluetypes.JobRunStateExpired}

// underWay is the job's run that has not ended. With one at a time it is the newest.
func (t Target) underWay(ctx context.Context) (*JobRun, error) {
	answer, err := t.Jobs.GetJobRuns(ctx, &glue.GetJobRunsInput{JobName: &t.Job, MaxResults: aws.Int32(1)})
	if err != nil {
		return nil, fmt.Errorf("runs of the job %s: %w", t.Job, err)
	}
	if len(answer.JobRuns) == 0 || slices.Contains(over, answer.JobRuns[0].JobRunState) {
		return nil, nil
	}
	run := answer.JobRuns[0]
	return &JobRun{ID: *run.Id, Run: run.Arguments["--run-id"], State: string(run.JobRunState), Since: *run.StartedOn},
		nil
}

const pointer = trainingset.Prefix + "/" + trainingset.PublishedName

// Published is the pointer to the published run, with its entity tag, which is empty where nothing
// is published.
func (t Target) Published(ctx context.Context) (trainingset.Published, string, error) {
	content, tag, err := t.object(ctx, pointer)
	if missing(err) {
		return trainingset.Published{}, "", nil
	}
	if err != nil {
		return trainingset.Published{}, "", err
	}
	read, err := trainingset.DecodePublished(content)
	if err != nil {
		return read, "", fmt.Errorf("s3://%s/%s: %w", t.Lake, pointer, err)
	}
	return read, tag, nil
}

// Publication is what Publish did.
type Publication struct {
	Run string `json:"run_id"`
	// Before is the run that was published; empty where none was, the same where it was repaired.
	Before string `json:"before"`
	// Tables of the catalogue that follow.
	Tables []string `json:"tables"`
}

var runID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Publish lets programs and catalogue read a run that is kept, as the job itself publishes
// (decision 0022): every file that its manifest names is there, then one conditional write of
// published.json, then the lists that the catalogue's tables follow. Of the run that is published
// it writes the lists anew. It refuses while a run of the job is under way, which would fail for
// it.
func (t Target) Publish(ctx context.Context, run string) (Publication, error) {
	if !runID.MatchString(run) {
		return Publication{}, fmt.Errorf("%q is no run: `diecast etl runs` lists them", run)
	}
	other, err := t.underWay(ctx)
	if err != nil {
		return Publication{}, err
	}
	if other != nil {
		return Publication{}, fmt.Errorf("run %s of the job is %s since %s and would fail, once another run is "+
			"published: wait until it has ended", other.ID, other.State, other.Since.UTC().Format(time.RFC3339))
	}
	before, tag, err := t.Published(ctx)
	if err != nil {
		return Publication{}, err
	}
	manifest, sum, err := t.complete(ctx, run)
	if err != nil {
		return Publication{}, err
	}
	if before.RunID != run || before.ManifestSHA256 != sum {
		if err := t.point(ctx, run, sum, tag); err != nil {
			return Publication{}, err
		}
	}
	tables, err := t.follow(ctx, manifest)
	if err != nil {
		return Publication{}, fmt.Errorf("run %s is published, and the catalogue's tables do not all follow yet; "+
			"publish it again: %w", run, err)
	}
	after, _, err := t.Published(ctx)
	if err == nil && after.RunID != run {
		err = fmt.Errorf("run %s was published meanwhile: publish that one again, so that the catalogue's tables "+
			"follow it",
			after.RunID)
	}
	return Publication{Run: run, Before: before.RunID, Tables: tables}, err
}

// complete reads a run's manifest and looks for every file that it names.
func (t Target) complete(ctx context.Context, run string) (trainingset.Manifest, string, error) {
	content, _, err := t.object(ctx, folder(run)+trainingset.ManifestName)
	if missing(err) {
		return trainingset.Manifest{}, "", fmt.Errorf("run %s has no manifest in s3://%s/%s: it is not there, or did "+
			"not "+
			"come to its end; `diecast etl runs` lists those that can be published", run, t.Lake, folder(run))
	}
	if err != nil {
		return trainingset.Manifest{}, "", err
	}
	manifest, err := trainingset.Decode(content)
	if err != nil {
		return manifest, "", fmt.Errorf("s3://%s/%s%s: %w", t.Lake, folder(run), trainingset.ManifestName, err)
	}
	if manifest.RunID != run {
		return manifest, "", fmt.Errorf("s3://%s/%s%s is that of the run %s", t.Lake, folder(run),
			trainingset.ManifestName, manifest.RunID)
	}
	there := map[string]int64{}
	pages := s3.NewListObjectsV2Paginator(t.Buckets, &s3.ListObjectsV2Input{Bucket: &t.Lake,
		Prefix: aws.String(folder(run))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return manifest, "", fmt.Errorf("s3://%s/%s: %w", t.Lake, folder(run), err)
		}
		for _, object := range page.Contents {
			there[strings.TrimPrefix(*object.Key, folder(run))] = aws.ToInt64(object.Size)
		}
	}
	var problems []error
	for _, table := range manifest.Tables.All() {
		for _, file := range table.Files {
			if size, found := there[file.Path]; !found || size != file.Bytes {
				problems = append(problems, fmt.Errorf("run %s: its file %s has %d bytes by its manifest, and is "+
					"gone or "+
					"another; restore it from the bucket's earlier versions", run, file.Path, file.Bytes))
			}
		}
	}
	sum := sha256.Sum256(content)
	return manifest, hex.EncodeToString(sum[:]), errors.Join(problems...)
}

// point writes published.json if it still is what it was: the tag is empty where there was none.
func (t Target) point(ctx context.Context, run, sum, tag string) error {
	content, err := json.Marshal(struct {
		SchemaVersion int `json:"schema_version"`
		trainingset.Published
	}{1, trainingset.Published{RunID: run, PublishedAt: time.Now().UTC().Truncate(time.Second), ManifestSHA256: sum}})
	if err != nil {
		return err
	}
	input := &s3.PutObjectInput{Bucket: &t.Lake, Key: aws.String(pointer), Body: strings.NewReader(string(content)),
		ContentType: aws.String("application/json")}
	if input.IfMatch = aws.String(tag); tag == "" {
		input.IfMatch, input.IfNoneMatch = nil, aws.String("*")
	}
	_, err = t.Buckets.PutObject(ctx, input)
	var refused smithy.APIError
	if errors.As(err, &refused) && slices.Contains([]string{"PreconditionFailed", "ConditionalRequestConflict"},
		refused.ErrorCode()) {
		return errors.New("another run was published at this moment: look at `diecast etl runs`, and publish again " +
			"if " +
			"you still want to")
	}
	if err != nil {
		return fmt.Errorf("s3://%s/%s: %w", t.Lake, pointer, err)
	}
	return nil
}

// follow writes the lists of files that the catalogue's tables read, one object a table.
func (t Target) follow(ctx context.Context, manifest trainingset.Manifest) ([]string, error) {
	var followed []string
	for _, entry := range trainingset.Catalogue(manifest.Format) {
		files, ok := manifest.Shown(entry)
		if !ok {
			continue
		}
		var list strings.Builder
		for _, file := range files {
			fmt.Fprintf(&list, "s3://%s/%s%s\n", t.Lake, folder(manifest.RunID), file.Path)
		}
		key := entry.Folder + "/" + trainingset.SymlinkName
		_, err := t.Buckets.PutObject(ctx, &s3.PutObjectInput{Bucket: &t.Lake, Key: &key,
			Body: strings.NewReader(list.String())})
		if err != nil {
			return followed, fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
		}
		if len(files) > 0 {
			followed = append(followed, entry.Name)
		}
	}
	return followed, nil
}
