// Package rowtest makes the table of rows for tests, as the stack declares it.
package rowtest

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

// Create an empty table and wait until it is there.
func Create(t testing.TB, client *dynamodb.Client, name string) {
	t.Helper()
	attribute := func(name string, kind types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: kind}
	}
	key := func(name string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: aws.String(name), KeyType: kind}
	}
	_, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String(name), BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute(row.SessionID, types.ScalarAttributeTypeS), attribute(row.EventTime, types.ScalarAttributeTypeS),
			attribute(row.CustomerNumber, types.ScalarAttributeTypeN),
		},
		KeySchema: []types.KeySchemaElement{key(row.SessionID, types.KeyTypeHash)},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName: aws.String(row.CustomerIndex),
			KeySchema: []types.KeySchemaElement{
				key(row.CustomerNumber, types.KeyTypeHash), key(row.EventTime, types.KeyTypeRange),
			},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	})
	require.NoError(t, err)
	exists := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	})
	require.NoError(t, exists.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(name)}, time.Minute))
}

// Put a record's row, whatever is there.
func Put(t testing.TB, client *dynamodb.Client, name string, record recommendation.Record, keep time.Duration) {
	t.Helper()
	_, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name),
		Item: row.Item(record, keep)})
	require.NoError(t, err)
}
