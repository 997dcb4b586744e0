// Command deliver is the second consumer of the stream: it writes the latest recommendations of every session to the table
// that the shop reads, within seconds.
//
// Environment: INFERENCE_FUNCTION, the name or ARN of the inference function; RECOMMENDATIONS_TABLE, the table's name;
// RECOMMENDATION_TTL_SECONDS, how long a row is kept.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"diecast/lambda/internal/function"
	"diecast/lambda/internal/recommender"
)

func main() {
	logger := function.NewLogger()
	settings, err := settingsFrom(os.Getenv)
	configuration, configurationErr := config.LoadDefaultConfig(context.Background())
	if err := errors.Join(err, configurationErr); err != nil {
		logger.Error("cannot start", slog.Any("error", err))
		os.Exit(1)
	}
	handler := Handler{
		Recommender: recommender.Recommender{Invoker: lambda.NewFromConfig(configuration), Function: settings.inference, Clock: time.Now},
		Table:       Table{Client: dynamodb.NewFromConfig(configuration), Name: settings.table, Keep: settings.keep},
		Logger:      logger,
		Metrics:     function.Metrics{Function: "deliver", Output: os.Stdout},
	}
	runtime.Start(handler.Handle)
}

type settings struct {
	inference, table string
	keep             time.Duration
}

// settingsFrom reads the environment; its error names every problem.
func settingsFrom(getenv func(string) string) (settings, error) {
	read := settings{inference: getenv("INFERENCE_FUNCTION"), table: getenv("RECOMMENDATIONS_TABLE")}
	var problems []error
	if read.inference == "" {
		problems = append(problems, errors.New("INFERENCE_FUNCTION is not set: the name or ARN of the inference function"))
	}
	if read.table == "" {
		problems = append(problems, errors.New("RECOMMENDATIONS_TABLE is not set: the name of the table"))
	}
	text := getenv("RECOMMENDATION_TTL_SECONDS")
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 {
		problems = append(problems, fmt.Errorf("RECOMMENDATION_TTL_SECONDS is %q: a whole number from 1 on is allowed", text))
	}
	read.keep = time.Duration(seconds) * time.Second
	return read, errors.Join(problems...)
}
