package dynalite_test

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/dynalite"
	"diecast/internal/local/installed"
	"diecast/internal/local/server"
	"diecast/internal/local/server/servertest"
)

func text(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

func number(value string) types.AttributeValue { return &types.AttributeValueMemberN{Value: value} }

func TestServerKeepsTheContractOfAnEngine(t *testing.T) {
	folder := func(t testing.TB) string { return t.TempDir() }
	servertest.Contract(t, "dynalite", folder, func(ctx context.Context, options server.Options) (servertest.Engine,
		error) {
		return dynalite.Start(ctx, dynalite.Options{Dir: options.Dir, Fresh: options.Fresh, Port: options.Port})
	})
}

func TestServerAdmitsTheRunAlone(t *testing.T) {
	servertest.Needed(t, "dynalite")
	server, err := dynalite.Start(t.Context(), dynalite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	servertest.AdmitsTheRunAlone(t, server.Config(), "DynamoDB_20120810.ListTables")
}

func TestInstalledSaysWhatIsMissing(t *testing.T) {
	t.Setenv("DIECAST_NODE_MODULES", t.TempDir())
	require.ErrorIs(t, dynalite.Installed(t.Context(), ""), installed.ErrNotInstalled)
	_, err := dynalite.Start(t.Context(), dynalite.Options{})
	require.ErrorIs(t, err, installed.ErrNotInstalled)
}

func TestTableWithIndexKeepsConditionalWrites(t *testing.T) {
	servertest.Needed(t, "dynalite")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := dynalite.Start(ctx, dynalite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })

	session := dynalite.Attribute{Name: "session_id"}
	customer := dynalite.Attribute{Name: "customer_number", Type: types.ScalarAttributeTypeN}
	require.NoError(t, server.CreateTable(ctx, dynalite.Table{
		Name: "latest", Key: dynalite.Key{Partition: session, Sort: customer},
		Indexes: []dynalite.Index{{
			Name: "by_customer", Key: dynalite.Key{Partition: customer, Sort: session},
			Projection: types.ProjectionTypeInclude, Include: []string{"city"},
		}},
	}))
	var taken *types.ResourceInUseException
	require.ErrorAs(t, server.CreateTable(ctx, dynalite.Table{Name: "latest", Key: dynalite.Key{Partition: session}}),
		&taken)

	client := server.Client()
	put := &dynamodb.PutItemInput{
		TableName: aws.String("latest"), ConditionExpression: aws.String("attribute_not_exists(session_id)"),
		Item: map[string]types.AttributeValue{"session_id": text("s-1"), "customer_number": number("103"),
			"city": text("Nantes"), "hidden": text("x")},
	}
	_, err = client.PutItem(ctx, put)
	require.NoError(t, err)
	var refused *types.ConditionalCheckFailedException
	_, err = client.PutItem(ctx, put)
	require.ErrorAs(t, err, &refused)

	found, err := client.Query(ctx, &dynamodb.QueryInput{
		TableName: aws.String("latest"), IndexName: aws.String("by_customer"),
		KeyConditionExpression:    aws.String("customer_number = :c"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":c": number("103")},
	})
	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	assert.Equal(t, text("Nantes"), found.Items[0]["city"])
	assert.NotContains(t, found.Items[0], "hidden", "the index holds what it projects")
}
