// Command transform is the processor of the delivery stream: it turns activity events into
// recommendation records on their way to the archive. Its environment is environment.Transform.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/internal/environment"
	"diecast/internal/metrics"
	"diecast/lambda/internal/function"
	"diecast/lambda/internal/recommender"
	"diecast/lambda/transform/handler"
)

func main() {
	function.Start(func(ctx context.Context, logger *slog.Logger) (any, error) {
		variables, err := environment.Read[environment.Transform](environment.OfProcess())
		configuration, configurationErr := config.LoadDefaultConfig(ctx)
		if err := errors.Join(err, configurationErr); err != nil {
			return nil, err
		}
		return handler.Handler{
			Recommender: recommender.Recommender{
				Invoker: lambda.NewFromConfig(configuration), Function: variables.Function, Clock: time.Now,
			},
			Logger:   logger,
			Metrics:  metrics.Writer{Function: metrics.Transform, Output: os.Stdout},
			Versions: &recommender.Versions{},
		}, nil
	})
}
