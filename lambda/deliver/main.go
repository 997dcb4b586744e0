// Command deliver is the second consumer of the stream: it writes the latest recommendations of
// every session to the table that the shop reads, within seconds. Its environment is
// environment.Deliver.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/environment"
	"diecast/internal/metrics"
	"diecast/lambda/deliver/handler"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/recommender"
)

func main() {
	function.Start(func(ctx context.Context, logger *slog.Logger) (any, error) {
		variables, err := environment.Read[environment.Deliver](environment.OfProcess())
		configuration, configurationErr := config.LoadDefaultConfig(ctx)
		if err := errors.Join(err, configurationErr); err != nil {
			return nil, err
		}
		return handler.Handler{
			Recommender: recommender.Recommender{
				Invoker: lambda.NewFromConfig(configuration), Function: variables.Function, Clock: time.Now,
			},
			Table: handler.Table{
				Client: dynamodb.NewFromConfig(configuration),
				Name:   variables.Table,
				Keep:   time.Duration(variables.Keep),
			},
			Logger:   logger,
			Metrics:  metrics.Writer{Function: metrics.Deliver, Output: os.Stdout},
			Versions: &recommender.Versions{}, Clock: time.Now,
		}.Handle, nil
	})
}
