package row

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/local/dynalite"
	"diecast/internal/local/moto"
	"diecast/internal/local/server/servertest"
	"diecast/internal/recommendation"
	"diecast/test/contracts"
)

const table = "recommendations"

// engines evaluate conditions, each by code of its own; the laptop's table is dynalite's.
var engines = map[string]func(context.Context, *testing.T) *dynamodb.Client{
	"dynalite": func(ctx context.Context, t *testing.T) *dynamodb.Client {
		engine, err := dynalite.Start(ctx, dynalite.Options{})
		require.NoError(t, err, "run `make setup`")
		t.Cleanup(func() { assert.NoError(t, engine.Stop(context.Background())) })
		return engine.Client()
	},
	"moto": func(ctx context.Context, t *testing.T) *dynamodb.Client {
		engine, err := moto.Start(ctx, moto.Options{})
		require.NoError(t, err, "run `make setup`")
		t.Cleanup(func() { assert.NoError(t, engine.Stop(context.Background())) })
		return dynamodb.NewFromConfig(engine.Config())
	},
}

// onEngines runs a test on an empty table of each engine.
func onEngines(t *testing.T, test func(t *testing.T, client *dynamodb.Client)) {
	for name, start := range engines {
		t.Run(name, func(t *testing.T) {
			servertest.Needed(t, name)
			t.Parallel()
			client := start(t.Context(), t)
			_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
				TableName: aws.String(table), BillingMode: types.BillingModePayPerRequest,
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(SessionID),
					AttributeType: types.ScalarAttributeTypeS}},
				KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(SessionID), KeyType: types.KeyTypeHash}},
			})
			require.NoError(t, err)
			exists := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
				o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
			})
			require.NoError(t, exists.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(table)},
				time.Minute))
			test(t, client)
		})
	}
}

// inSession is a record at a place in the order.
func inSession(t *testing.T, session string, id uuid.UUID, at time.Time, degraded bool) recommendation.Record {
	t.Helper()
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":1,"city":"Nantes",`+
		`"country":"France","credit_limit":21000,"event_id":%q,"event_time":%q}`, session, id,
		at.Format(time.RFC3339Nano)))
	require.NoError(t, err)
	record := recommendation.Record{
		Event: event, Items: []recommendation.Item{}, ModelVersion: "0123456789ab", RecommendedAt: at,
	}
	if degraded {
		record.Rung = recommendation.Popular
	}
	return record
}

// put says whether the condition let the record in.
func put(t *testing.T, client *dynamodb.Client, condition string, values map[string]types.AttributeValue,
	item map[string]types.AttributeValue) bool {
	t.Helper()
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String(table), Item: item, ConditionExpression: aws.String(condition),
		ExpressionAttributeValues: values,
	})
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return false
	}
	require.NoError(t, err)
	return true
}

// disagreement is the first pair of records, of three ids at three times, answered and degraded,
// for which a condition and recommendation.Record.Supersedes say different things; empty where
// there is none.
func disagreement(t *testing.T, client *dynamodb.Client, name, condition string) string {
	t.Helper()
	const kinds = 18
	session := ""
	record := func(n int) recommendation.Record {
		id := []string{"0b9cbe4a-6a53-4c0e-8a6f-7b0f5c1d2e3f", "7fffffff-ffff-4fff-bfff-ffffffffffff",
			"f0000000-0000-4000-8000-000000000000"}[n%3]
		// In zones and with fractions whose texts sort otherwise.
		late := at.Add([]time.Duration{0, 99_999_999, 100 * time.Millisecond}[n/3%3]).
			In(time.FixedZone("", 3600*(n%5)))
		return inSession(t, session, uuid.MustParse(id), late, n/9 == 0)
	}
	for n := range kinds {
		for m := range kinds {
			session = fmt.Sprintf("%s-%d-%d", strings.ReplaceAll(name, " ", "-"), n, m)
			before, after := record(n), record(m)
			require.True(t, put(t, client, condition, Values(before), Item(before, time.Hour)), "a first record")
			if put(t, client, condition, Values(after), Item(after, time.Hour)) != after.Supersedes(before) {
				return fmt.Sprintf("%s then %s", before.Encode(), after.Encode())
			}
		}
	}
	return ""
}

func TestConditionAgreesWithSupersedes(t *testing.T) {
	onEngines(t, func(t *testing.T, client *dynamodb.Client) {
		assert.Empty(t, disagreement(t, client, "ours", Condition))
		for name, condition := range map[string]string{
			"the time does not matter for one id": "attribute_not_exists(session_id)" +
				" OR (event_id <> :id AND (event_time < :time OR (event_time = :time AND event_id < :id)))" +
				" OR (event_id = :id AND degraded = :beaten)",
			"degraded or not does not matter": "attribute_not_exists(session_id) OR event_time < :time" +
				" OR (event_time = :time AND event_id < :id AND degraded <> :beaten)",
		} {
			assert.NotEmpty(t, disagreement(t, client, name, condition), "the breach is not found")
		}
	})
}

// The rule's golden examples, in every order of arrival, end with the row that it says.
func TestOrderContract(t *testing.T) {
	order := contracts.LoadRecordOrder(t)
	onEngines(t, func(t *testing.T, client *dynamodb.Client) {
		for n, test := range order.Cases {
			orders := 0
			contracts.Permutations(test.Records, func(arrivals []contracts.OrderedRecord) {
				orders++
				session := fmt.Sprintf("%d/%d", n, orders)
				var want recommendation.Record
				for _, arrived := range arrivals {
					record := inSession(t, session, order.IDs[arrived.ID], arrived.Time, arrived.Degraded)
					put(t, client, Condition, Values(record), Item(record, time.Hour))
					if arrived.Name == test.Row {
						want = record
					}
				}
				output, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(table),
					Key: map[string]types.AttributeValue{SessionID: text(session)}})
				require.NoError(t, err)
				stored, err := ReadRecord(output.Item)
				require.NoError(t, err)
				differences, err := recommendation.Differences(want, stored)
				require.NoError(t, err)
				require.Empty(t, differences, "%s: %v", test.Name, arrivals)
			})
		}
	})
}
