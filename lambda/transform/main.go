// Command transform is the processor of the delivery stream: it turns activity events into recommendation records on their
// way to the archive.
//
// Environment: INFERENCE_FUNCTION, the name or ARN of the inference function.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/lambda/internal/function"
	"diecast/lambda/internal/recommender"
)

func main() {
	logger := function.NewLogger()
	inference := os.Getenv("INFERENCE_FUNCTION")
	configuration, err := config.LoadDefaultConfig(context.Background())
	if err != nil || inference == "" {
		logger.Error("cannot start: INFERENCE_FUNCTION must name the inference function, and the AWS configuration must load",
			slog.String("INFERENCE_FUNCTION", inference), slog.Any("error", err))
		os.Exit(1)
	}
	handler := Handler{
		Recommender: recommender.Recommender{Invoker: lambda.NewFromConfig(configuration), Function: inference, Clock: time.Now},
		Logger:      logger,
		Metrics:     function.Metrics{Function: "transform", Output: os.Stdout},
	}
	runtime.Start(handler.Handle)
}
