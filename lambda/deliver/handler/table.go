package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

// Putter is the part of the DynamoDB client that is used.
type Putter interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// Table keeps one row for each session, see internal/recommendation/row.
type Table struct {
	Client Putter
	Name   string
	// Keep is how long after it was made a row expires.
	Keep time.Duration
}

// Put writes a record where it supersedes the row of its session, and does nothing where it does
// not.
func (t Table) Put(ctx context.Context, record recommendation.Record) error {
	_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.Name, Item: row.Item(record, t.Keep),
		ConditionExpression: aws.String(row.Condition), ExpressionAttributeValues: row.Values(record),
	})
	var refused *types.ConditionalCheckFailedException
	if errors.As(err, &refused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return nil
}
