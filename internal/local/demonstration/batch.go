package demonstration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	gluetypes "github.com/aws/aws-sdk-go-v2/service/glue/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/deployment"
	"diecast/internal/trainingset"
	"diecast/internal/trainingset/tablefile"
	"diecast/internal/wait"
)

// BatchTarget is the platform whose ETL job runs.
type BatchTarget struct {
	Glue *glue.Client
	S3   *s3.Client
	// Job and Lake are physical names.
	Job, Lake string
	// answerWithin is how long one question about a run may take. Default: the package's.
	answerWithin time.Duration
}

// BatchTargetOf is a deployment's job and lake, and clients that reach them.
func BatchTargetOf(ctx context.Context, deployed *deployment.Deployment) (BatchTarget, error) {
	names, err := deployed.Batch()
	jobs, jobsErr := deployed.Glue(ctx)
	buckets, bucketsErr := deployed.S3(ctx)
	if err := errors.Join(err, jobsErr, bucketsErr); err != nil {
		return BatchTarget{}, err
	}
	return BatchTarget{Glue: jobs, S3: buckets, Job: names.Job, Lake: names.Lake}, nil
}

// BatchReport is what a run of the job published.
type BatchReport struct {
	// Outcome is what the run tells of itself: rows read, published and quarantined, and rules.
	Outcome trainingset.Outcome
	// Folder of the run in the lake, with its scheme and a slash at its end.
	Folder string
	Format trainingset.Format
	// Columns and Sample are the first rows of the ratings.
	Columns []string
	Sample  [][]string
	// BestLine is the product line with the largest revenue, BestRevenue that revenue, with two
	// decimals.
	BestLine, BestRevenue string
	// Elapsed is the time from the request to start the job to the end of its run.
	Elapsed time.Duration
}

// RulesPassed counts the rules that nothing broke beyond their tolerance.
func (r BatchReport) RulesPassed() int {
	passed := 0
	for _, rule := range r.Outcome.Rules {
		if rule.Passed {
			passed++
		}
	}
	return passed
}

const (
	// askAgain is the pause between two questions about the run.
	askAgain = 500 * time.Millisecond
	// answerWithin is how long each of them may take.
	answerWithin = 20 * time.Second
	// startsWithin is how long a run may take beyond its time-out, which counts from its start.
	startsWithin = 15 * time.Minute
	// longestRun is Glue's own time-out for a run that has none.
	longestRun = 480 * time.Minute
	// sampleRows of the ratings are shown.
	sampleRows = 3
)

// RunBatch starts the job, waits until its run has ended, and reads what it published. Progress is
// told the run's state as it changes.
func RunBatch(ctx context.Context, target BatchTarget, progress func(state string)) (BatchReport, error) {
	begun := time.Now()
	run, err := target.run(ctx, nil, progress)
	if err != nil {
		return BatchReport{}, err
	}
	report := BatchReport{Elapsed: time.Since(begun)}
	if err := target.read(ctx, run, &report); err != nil {
		return BatchReport{}, fmt.Errorf("reading what run %s published: %w", run, err)
	}
	return report, nil
}

// await asks until the run has succeeded; any other end is an error, and so is a run that goes on
// for longer than its own time-out.
func (t BatchTarget) await(ctx context.Context, id string, progress func(string)) error {
	before := gluetypes.JobRunState("")
	ask := func(ctx context.Context) (*gluetypes.JobRun, error) {
		answer, err := wait.Answer(ctx, cmp.Or(t.answerWithin, answerWithin), t.Glue.GetJobRun,
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
	rule := wait.Rule{For: startsWithin + longestRun, Pause: askAgain}
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

// read follows the pointer to the run, and from it to outcome, manifest and rows.
func (t BatchTarget) read(ctx context.Context, run string, report *BatchReport) error {
	published, err := decoded(ctx, t, trainingset.Prefix+"/"+trainingset.PublishedName, trainingset.DecodePublished)
	if err != nil {
		return err
	}
	if published.RunID != run {
		return fmt.Errorf("%s names the run %s", trainingset.PublishedName, published.RunID)
	}
	folder := trainingset.Prefix + "/" + run + "/"
	report.Folder = "s3://" + t.Lake + "/" + folder
	if report.Outcome, err = decoded(ctx, t, folder+trainingset.OutcomeName, trainingset.DecodeOutcome); err != nil {
		return err
	}
	manifest, err := decoded(ctx, t, folder+trainingset.ManifestName, trainingset.Decode)
	if err != nil {
		return err
	}
	report.Format = manifest.Format
	for _, column := range manifest.Tables.Ratings.Columns {
		report.Columns = append(report.Columns, column.Name)
	}
	err = t.rows(ctx, folder, manifest.Format, manifest.Tables.Ratings, func(row []string) (more bool, err error) {
		report.Sample = append(report.Sample, row)
		return len(report.Sample) < sampleRows, nil
	})
	if err != nil {
		return err
	}
	return t.findBestLine(ctx, folder, manifest, report)
}

// findBestLine sums the sales mart's revenue by the products' line.
func (t BatchTarget) findBestLine(
	ctx context.Context, folder string, manifest trainingset.Manifest, report *BatchReport,
) error {
	if manifest.Tables.Sales == nil {
		return errors.New("the run has no sales mart")
	}
	lines, revenues := map[string]string{}, map[string]*big.Rat{}
	code, line := column(manifest.Tables.Products, "productCode"), column(manifest.Tables.Products, "productLine")
	err := t.rows(ctx, folder, manifest.Format, manifest.Tables.Products, func(row []string) (bool, error) {
		lines[row[code]] = row[line]
		return true, nil
	})
	if err != nil {
		return err
	}
	sold, revenue := column(*manifest.Tables.Sales, "productCode"), column(*manifest.Tables.Sales, "revenue")
	err = t.rows(ctx, folder, manifest.Format, *manifest.Tables.Sales, func(row []string) (bool, error) {
		amount, ok := new(big.Rat).SetString(row[revenue])
		if !ok {
			return false, fmt.Errorf("a sale's revenue is %q", row[revenue])
		}
		name := lines[row[sold]]
		if revenues[name] == nil {
			revenues[name] = new(big.Rat)
		}
		revenues[name].Add(revenues[name], amount)
		return true, nil
	})
	for _, name := range slices.Sorted(maps.Keys(revenues)) {
		if report.BestLine == "" || revenues[name].Cmp(revenues[report.BestLine]) > 0 {
			report.BestLine, report.BestRevenue = name, revenues[name].FloatString(2)
		}
	}
	return err
}

// column is the place of a column. The contract's decoder has checked that it is there.
func column(table trainingset.Table, name string) int {
	return slices.IndexFunc(table.Columns, func(column trainingset.Column) bool { return column.Name == name })
}

// rows visits the rows of a table until no more are wanted.
func (t BatchTarget) rows(
	ctx context.Context, folder string, format trainingset.Format, table trainingset.Table,
	visit func([]string) (more bool, err error),
) error {
	for _, file := range table.Files {
		content, err := t.object(ctx, folder+file.Path)
		if err != nil {
			return err
		}
		for row, err := range tablefile.Rows(format, table.Columns, content) {
			more := false
			if err == nil {
				more, err = visit(row)
			}
			if err != nil {
				return fmt.Errorf("s3://%s/%s%s: %w", t.Lake, folder, file.Path, err)
			}
			if !more {
				return nil
			}
		}
	}
	return nil
}

func decoded[T any](ctx context.Context, t BatchTarget, key string, decode func([]byte) (T, error)) (T, error) {
	content, err := t.object(ctx, key)
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

func (t BatchTarget) object(ctx context.Context, key string) ([]byte, error) {
	object, err := t.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &t.Lake, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", t.Lake, key, err)
	}
	return content, nil
}
