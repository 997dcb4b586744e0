package recommender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/metrics"
	deliver "diecast/lambda/deliver/handler"
	"diecast/lambda/internal/recommender"
	transform "diecast/lambda/transform/handler"
)

// failing are a function and a table that fail.
type failing struct {
	answer func(*lambda.InvokeInput) (*lambda.InvokeOutput, error)
}

func (f failing) Invoke(_ context.Context, input *lambda.InvokeInput, _ ...func(*lambda.Options)) (*lambda.InvokeOutput,
	error) {
	return f.answer(input)
}

func (f failing) PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput,
	error) {
	return nil, errors.New("the table is away")
}

// Whatever goes wrong, neither log, nor metric, nor the error that Lambda logs has anything of a
// person: no name, place, number, session or event id, whether the event is good or bad.
func TestLogsHoldNothingOfAPerson(t *testing.T) {
	personal := []string{"jean.king", "Nantes-on-Sea", "Francia", "987654321", "5f0c1b9e-2b77-4f0e-9d55-3c9a4e1f7a10",
		"S18_SECRET"}
	good := fmt.Sprintf(`{"session_id":%q,"customer_number":%s,"city":%q,"country":%q,"credit_limit":1,"event_id":%q,`+
		`"browse_history":[{"product_code":%q,"quantity":1,"in_shopping_cart":true}]}`, personal[0], personal[3],
		personal[1], personal[2], personal[4], personal[5])
	broken := []string{
		strings.Replace(good, personal[3], `"`+personal[3]+`"`, 1),
		strings.Replace(good, `"quantity":1`, `"quantity":"jean.king"`, 1),
		strings.Replace(good, `"city"`, `"jean.king":1,"jean.king":2,"city"`, 1),
		strings.Replace(good, `"session_id":"`, `"session_id":"Nantes-on-Sea `, 1),
		good[:len(good)-9], good + good, `"jean.king"`, "\xf3\x89\x9a\xc2" + good,
		strings.Replace(good, `"credit_limit":1`, `"credit_limit":-987654321`, 1),
	}
	results := func(id string) string {
		return fmt.Sprintf(`{"model_version":"aaaaaaaaaaaa","results":[{"event_id":%q,"recommended_items":[],`+
			`"degraded":false,"rung":"store"}],"similar":{}}`, id)
	}
	for name, answer := range map[string]func(*lambda.InvokeInput) (*lambda.InvokeOutput, error){
		"inference is away": func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) { return nil, errors.New("away") },
		"inference answers the request": func(input *lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			return &lambda.InvokeOutput{Payload: input.Payload}, nil
		},
		"inference answers another event": func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			return &lambda.InvokeOutput{Payload: []byte(results(personal[4][:35] + "1"))}, nil
		},
		"the table is away": func(*lambda.InvokeInput) (*lambda.InvokeOutput, error) {
			return &lambda.InvokeOutput{Payload: []byte(results(personal[4]))}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			logger := slog.New(slog.NewJSONHandler(&output, &slog.HandlerOptions{Level: slog.LevelDebug}))
			written := metrics.Writer{Output: &output}
			asked := recommender.Recommender{Invoker: failing{answer}, Function: "inference", Clock: time.Now}
			var records []stored
			for i, payload := range append(broken, good) {
				records = append(records, stored{fmt.Sprint(i), time.Now(), []byte(payload)})
			}
			_, err := transform.Handler{Recommender: asked, Logger: logger, Metrics: written}.
				Handle(t.Context(), byFirehose(t, records))
			fmt.Fprintln(&output, err)
			table := deliver.Table{Client: failing{}, Name: "table", Keep: time.Hour}
			response, err := deliver.Handler{Recommender: asked, Table: table, Logger: logger, Metrics: written}.
				Handle(t.Context(), byMapping(t, records))
			require.NoError(t, err)
			assert.NotEmpty(t, response.BatchItemFailures)
			assert.Equal(t, 2*len(broken), strings.Count(output.String(), `"reasons":`), "each refusal is told")
			for _, value := range personal {
				assert.Equal(t, 0, strings.Count(output.String(), value), "%s in the output", value)
			}
		})
	}
}
