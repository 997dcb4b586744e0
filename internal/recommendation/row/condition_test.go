package row

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/surroundings"
	"diecast/test/contracts"
)

// startDynamoDB runs an emulator of DynamoDB that evaluates conditions, with an empty table.
func startDynamoDB(t *testing.T) *dynamodb.Client {
	t.Helper()
	python := contracts.Python(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().(*net.TCPAddr)
	require.NoError(t, listener.Close())
	ctx, cancel := context.WithCancel(context.Background())
	server := exec.CommandContext(ctx, python, "-m", "moto.server", "-H", "127.0.0.1", "-p", fmt.Sprint(address.Port))
	server.Env = surroundings.List(surroundings.Bare(t.TempDir()))
	require.NoError(t, server.Start(), "run `make setup`")
	t.Cleanup(func() {
		cancel()
		_ = server.Wait() // killed
	})
	require.Eventually(t, func() bool {
		connection, err := net.Dial("tcp", address.String())
		return err == nil && connection.Close() == nil
	}, 30*time.Second, 20*time.Millisecond, "the emulator does not answer: run `make setup`")
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: aws.String("http://" + address.String()),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	_, err = client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("recommendations"), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(SessionID),
			AttributeType: types.ScalarAttributeTypeS}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String(SessionID),
			KeyType: types.KeyTypeHash}},
	})
	require.NoError(t, err)
	return client
}

// The condition says the same as recommendation.Record.Supersedes, and so a row never goes back in
// event time.
func TestConditionAgreesWithSupersedes(t *testing.T) {
	client := startDynamoDB(t)
	random := rand.New(rand.NewPCG(4, 2))
	var row recommendation.Record
	replaced, kept := 0, 0
	for round := range 150 {
		event, err := activity.Decode(fmt.Appendf(nil,
			`{"session_id":"a","customer_number":%d,"city":"Nantes","country":"France","credit_limit":21000}`,
			random.IntN(4)))
		require.NoError(t, err)
		// Few times and few identities, so that equal ones meet.
		from := activity.FromStream(
			activity.Place{Stream: "activity", Shard: "shard", SequenceNumber: fmt.Sprint(random.IntN(3))},
			at.Add(time.Duration(random.IntN(2+round/15))*time.Second),
		)
		record := recommendation.Record{
			Event: event.Identify(from), Items: []recommendation.Item{}, ModelVersion: "0123456789ab",
			Degraded:      random.IntN(2) == 0,
			RecommendedAt: at.Add(time.Duration(round) * time.Millisecond),
		}
		_, err = client.PutItem(t.Context(), &dynamodb.PutItemInput{
			TableName: aws.String("recommendations"), Item: Item(record, time.Hour),
			ConditionExpression: aws.String(Condition), ExpressionAttributeValues: Values(record),
		})
		if round == 0 || record.Supersedes(row) {
			require.NoError(t, err, "round %d", round)
			row = record
			replaced++
		} else {
			var refused *types.ConditionalCheckFailedException
			require.ErrorAs(t, err, &refused, "round %d", round)
			kept++
		}
		output, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
			TableName: aws.String("recommendations"),
			Key:       map[string]types.AttributeValue{SessionID: &types.AttributeValueMemberS{Value: "a"}},
		})
		require.NoError(t, err)
		stored, err := ReadRecord(output.Item)
		require.NoError(t, err)
		require.Equal(t, row.RecommendedAt, stored.RecommendedAt, "round %d", round)
	}
	assert.Greater(t, replaced, 10)
	assert.Greater(t, kept, 10)
}
