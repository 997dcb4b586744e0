package demonstration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/etl"
	"diecast/internal/trainingset"
)

// Strategies are those that are compared, in the order of their runs. Each publishes what the next
// one begins from.
var Strategies = []trainingset.Strategy{trainingset.Replace, trainingset.Latest, trainingset.Average}

// StrategyReport is what a strategy made of a source that has changed since the run before.
type StrategyReport struct {
	Strategy trainingset.Strategy
	// Run is the run's name.
	Run string
	// Ratings are those that it published; Gone is how many of the first run's it does not have any
	// more.
	Ratings, Gone int
	// Value is what it published for the pair of the comparison.
	Value string
	// Elapsed is the time from the request to start the state machine to its end.
	Elapsed time.Duration
}

// Comparison tells what each strategy made of the same change.
type Comparison struct {
	// Days are how long the shop lived on.
	Days int
	// Customer and Product are a pair whose rating has changed; Before is what the first run
	// published for it.
	Customer, Product, Before string
	// VectorStore says in a line how the store followed the change.
	VectorStore string
	Strategies  []StrategyReport
}

// pair of a customer and a product.
type pair struct{ customer, product string }

// CompareStrategies lets the generated shop live on for some days after the run of a report, and
// runs the batch path by each of Strategies over what it has become. Progress is told the state of
// the run at work.
func CompareStrategies(
	ctx context.Context, deployed *deployment.Deployment, first BatchReport, days int, progress func(state string),
) (Comparison, error) {
	target, err := etl.TargetOf(ctx, deployed)
	if err != nil {
		return Comparison{}, err
	}
	if err := advance(ctx, deployed, days); err != nil {
		return Comparison{}, err
	}
	before, err := (reader{target}).ratings(ctx, first.Outcome.RunID)
	if err != nil {
		return Comparison{}, err
	}
	compared := Comparison{Days: days}
	var changed pair
	for _, strategy := range Strategies {
		ended, err := execute(ctx, target, map[string]string{"--strategy": string(strategy)},
			func(state string) { progress(string(strategy) + " " + state) })
		if err != nil {
			return Comparison{}, err
		}
		now, err := (reader{target}).ratings(ctx, ended.Run)
		if err != nil {
			return Comparison{}, err
		}
		if changed == (pair{}) {
			if changed, err = firstChange(before, now); err != nil {
				return Comparison{}, fmt.Errorf("%d days of the shop: %w", days, err)
			}
			compared.Customer, compared.Product, compared.Before = changed.customer, changed.product, before[changed]
			compared.VectorStore = ended.VectorStore
		}
		gone := 0
		for one := range before {
			if _, still := now[one]; !still {
				gone++
			}
		}
		compared.Strategies = append(compared.Strategies, StrategyReport{Strategy: strategy, Run: ended.Run,
			Ratings: len(now), Gone: gone, Value: now[changed], Elapsed: ended.Elapsed})
	}
	return compared, nil
}

// firstChange is the first pair, by customer and product, whose rating differs.
func firstChange(before, now map[pair]string) (pair, error) {
	found := pair{}
	for one, value := range now {
		old, was := before[one]
		earlier := one.customer < found.customer || one.customer == found.customer && one.product < found.product
		if was && old != value && (found == pair{} || earlier) {
			found = one
		}
	}
	if found == (pair{}) {
		return found, errors.New("no rating has changed, so there is nothing to compare")
	}
	return found, nil
}

// advance has the source's loader let the shop live on.
func advance(ctx context.Context, deployed *deployment.Deployment, days int) error {
	client, err := deployed.Lambda(ctx)
	function, nameErr := deployed.Value(outputs.SourceLoaderFunctionName)
	if err := errors.Join(err, nameErr); err != nil {
		return err
	}
	request, err := json.Marshal(map[string]any{"action": "advance", "days": days})
	if err != nil {
		return err
	}
	answer, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: request})
	if err != nil {
		return fmt.Errorf("letting the shop live on: %w", err)
	}
	if answer.FunctionError != nil {
		return fmt.Errorf("letting the shop live on: %s: %s", aws.ToString(answer.FunctionError), answer.Payload)
	}
	return nil
}

// ratings are those of a run, by customer and product.
func (r reader) ratings(ctx context.Context, run string) (map[pair]string, error) {
	folder := trainingset.Prefix + "/" + run + "/"
	manifest, err := r.Manifest(ctx, run)
	if err != nil {
		return nil, err
	}
	table := manifest.Tables.Ratings
	customer, product := column(table, "customerNumber"), column(table, "productCode")
	rating := column(table, "productRating")
	ratings := map[pair]string{}
	err = r.rows(ctx, folder, manifest.Format, table, func(row []string) (bool, error) {
		ratings[pair{row[customer], row[product]}] = row[rating]
		return true, nil
	})
	return ratings, err
}
