package etl

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"

	"diecast/internal/wait"
)

const (
	// askJobAgain is the pause between two questions about a run of the job.
	askJobAgain = 500 * time.Millisecond
	// startsWithin is how long a run may take beyond its time-out, which counts from its start.
	startsWithin = 15 * time.Minute
	// longestRun is Glue's own time-out for a run that has none.
	longestRun = 480 * time.Minute
)

// RunJob runs the job by itself, without the state machine, with these arguments over those that it
// has of its own, and returns the run's name once it has succeeded. Any other end is an error, and
// so is a run that goes on for longer than its own time-out. Progress is told the run's state as it
// changes. When the context ends, the run goes on.
func (t Target) RunJob(
	ctx context.Context, arguments map[string]string, progress func(state string),
) (run string, err error) {
	run = runName(time.Now())
	given := map[string]string{"--run-id": run}
	maps.Copy(given, arguments)
	started, err := wait.Answer(ctx, answerWithin, t.Jobs.StartJobRun,
		&glue.StartJobRunInput{JobName: &t.Job, Arguments: given})
	if err != nil {
		return "", fmt.Errorf("starting the job %s: %w", t.Job, err)
	}
	return run, t.awaitJob(ctx, *started.JobRunId, progress)
}

// awaitJob asks until a run of the job has ended.
func (t Target) awaitJob(ctx context.Context, id string, progress func(string)) error {
	before := gluetypes.JobRunState("")
	ask := func(ctx context.Context) (*gluetypes.JobRun, error) {
		answer, err := wait.Answer(ctx, cmp.Or(t.answerWithin, answerWithin), t.Jobs.GetJobRun,
			&glue.GetJobRunInput{JobName: &t.Job, RunId: &id})
		if err != nil {
			return nil, err
		}
		if state := answer.JobRun.JobRunState; state != before {
			progress(string(state))
			before = state
		}
		return answer.JobRun, nil
	}
	told, err := ask(ctx)
	if err != nil {
		return fmt.Errorf("job %s, run %s: %w", t.Job, id, err)
	}
	rule := wait.Rule{For: startsWithin + longestRun, Pause: cmp.Or(t.Pause, askJobAgain)}
	if told.Timeout != nil {
		rule.For = startsWithin + time.Duration(*told.Timeout)*time.Minute
	}
	err = rule.Until(ctx, func(ctx context.Context) error {
		told, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("which was %s: %w", before, ctx.Err())
		case err != nil:
			return wait.Permanent(err)
		case told.JobRunState == gluetypes.JobRunStateSucceeded:
			return nil
		case told.CompletedOn != nil:
			return wait.Permanent(fmt.Errorf("%s: %s", told.JobRunState, aws.ToString(told.ErrorMessage)))
		}
		return fmt.Errorf("which was %s", told.JobRunState)
	})
	if err != nil {
		return fmt.Errorf("job %s, run %s: %w", t.Job, id, err)
	}
	return nil
}
