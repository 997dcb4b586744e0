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

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/etl"
	"diecast/internal/trainingset"
	"diecast/internal/trainingset/tablefile"
)

// BatchReport is what a run of the batch path published.
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
	// VectorStore says in a line how the store followed the run.
	VectorStore string
	// Elapsed is the time from the request to start the state machine to its end.
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
	// askAgain is the pause between two questions about a run on a laptop.
	askAgain = 500 * time.Millisecond
	// sampleRows of the ratings are shown.
	sampleRows = 3
)

// RunBatch starts the state machine, waits until it has ended, and reads what it published.
// Progress is told where the run stands as that changes.
func RunBatch(ctx context.Context, target etl.Target, progress func(state string)) (BatchReport, error) {
	ended, err := execute(ctx, target, nil, progress)
	if err != nil {
		return BatchReport{}, err
	}
	report := BatchReport{VectorStore: ended.VectorStore, Elapsed: ended.Elapsed}
	if err := (reader{target}).read(ctx, ended.Run, &report); err != nil {
		return BatchReport{}, fmt.Errorf("reading what run %s published: %w", ended.Run, err)
	}
	return report, nil
}

// execute starts an execution whose job has these arguments over its own, and waits until it has
// succeeded; any other end is an error.
func execute(
	ctx context.Context, target etl.Target, arguments map[string]string, progress func(state string),
) (etl.Report, error) {
	target.Pause = cmp.Or(target.Pause, askAgain)
	execution, err := target.Start(ctx, arguments)
	if err != nil {
		return etl.Report{}, err
	}
	before := ""
	ended, err := target.Watch(ctx, execution, func(now etl.Progress) {
		state := now.State
		if now.Job != "" {
			state += ", job " + now.Job
		}
		if state != before {
			progress(state)
			before = state
		}
	})
	if err == nil && !ended.Succeeded() {
		err = fmt.Errorf("run %s: %s: %s: %s", ended.Run, ended.Status, ended.Error, ended.Cause)
	}
	return ended, err
}

// reader reads runs of a deployment's lake row by row.
type reader struct{ etl.Target }

// read follows the pointer to the run, and from it to outcome, manifest and rows.
func (r reader) read(ctx context.Context, run string, report *BatchReport) error {
	published, _, err := r.Published(ctx)
	if err != nil {
		return err
	}
	if published.RunID != run {
		return fmt.Errorf("%s names the run %s", trainingset.PublishedName, published.RunID)
	}
	folder := trainingset.Prefix + "/" + run + "/"
	report.Folder = "s3://" + r.Lake + "/" + folder
	if report.Outcome, err = r.Outcome(ctx, run); err != nil {
		return err
	}
	manifest, err := r.Manifest(ctx, run)
	if err != nil {
		return err
	}
	report.Format = manifest.Format
	for _, column := range manifest.Tables.Ratings.Columns {
		report.Columns = append(report.Columns, column.Name)
	}
	err = r.rows(ctx, folder, manifest.Format, manifest.Tables.Ratings, func(row []string) (more bool, err error) {
		report.Sample = append(report.Sample, row)
		return len(report.Sample) < sampleRows, nil
	})
	if err != nil {
		return err
	}
	return r.findBestLine(ctx, folder, manifest, report)
}

// findBestLine sums the sales mart's revenue by the products' line.
func (r reader) findBestLine(
	ctx context.Context, folder string, manifest trainingset.Manifest, report *BatchReport,
) error {
	if manifest.Tables.Sales == nil {
		return errors.New("the run has no sales mart")
	}
	lines, revenues := map[string]string{}, map[string]*big.Rat{}
	code, line := column(manifest.Tables.Products, "productCode"), column(manifest.Tables.Products, "productLine")
	err := r.rows(ctx, folder, manifest.Format, manifest.Tables.Products, func(row []string) (bool, error) {
		lines[row[code]] = row[line]
		return true, nil
	})
	if err != nil {
		return err
	}
	sold, revenue := column(*manifest.Tables.Sales, "productCode"), column(*manifest.Tables.Sales, "revenue")
	err = r.rows(ctx, folder, manifest.Format, *manifest.Tables.Sales, func(row []string) (bool, error) {
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
func (r reader) rows(
	ctx context.Context, folder string, format trainingset.Format, table trainingset.Table,
	visit func([]string) (more bool, err error),
) error {
	for _, file := range table.Files {
		content, err := r.object(ctx, folder+file.Path)
		if err != nil {
			return err
		}
		for row, err := range tablefile.Rows(format, table.Columns, content) {
			more := false
			if err == nil {
				more, err = visit(row)
			}
			if err != nil {
				return fmt.Errorf("s3://%s/%s%s: %w", r.Lake, folder, file.Path, err)
			}
			if !more {
				return nil
			}
		}
	}
	return nil
}

func (r reader) object(ctx context.Context, key string) ([]byte, error) {
	object, err := r.Buckets.GetObject(ctx, &s3.GetObjectInput{Bucket: &r.Lake, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", r.Lake, key, err)
	}
	defer object.Body.Close()
	content, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("s3://%s/%s: %w", r.Lake, key, err)
	}
	return content, nil
}
