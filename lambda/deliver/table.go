package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"diecast/internal/recommendation"
)

// Putter is the part of the DynamoDB client that is used.
type Putter interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
}

// Table keeps one row for each session. Its attributes: session_id (the partition key), customer_number and event_time (the
// keys of an index), event_id, record (the recommendation record, as JSON text), model_version, degraded, and expires_at.
type Table struct {
	Client Putter
	Name   string
	// Keep is how long after it was made a row expires.
	Keep time.Duration
}

// timeLayout has a fixed width, so that the order of the texts is the order of the times.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// supersedes is recommendation.Record.Supersedes in DynamoDB's words. UUIDs in lower-case text have the order of their bytes.
const supersedes = "attribute_not_exists(session_id)" +
	" OR (event_id <> :id AND (event_time < :time OR (event_time = :time AND event_id < :id)))" +
	" OR (event_id = :id AND degraded = :true AND :degraded = :false)"

// Put writes a record where it supersedes the row of its session, and does nothing where it does not.
func (t Table) Put(ctx context.Context, record recommendation.Record) error {
	text := func(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }
	number := func(value int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
	}
	boolean := func(value bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: value} }
	eventTime, id := text(record.Event.Time.UTC().Format(timeLayout)), text(record.Event.ID.String())
	_, err := t.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.Name,
		Item: map[string]types.AttributeValue{
			"session_id":      text(record.Event.SessionID),
			"customer_number": number(int64(record.Event.CustomerNumber)),
			"event_time":      eventTime,
			"event_id":        id,
			"record":          text(string(bytes.TrimSuffix(record.Encode(), []byte("\n")))),
			"model_version":   text(record.ModelVersion),
			"degraded":        boolean(record.Degraded),
			"expires_at":      number(record.RecommendedAt.Add(t.Keep).Unix()),
		},
		ConditionExpression: aws.String(supersedes),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":id": id, ":time": eventTime, ":degraded": boolean(record.Degraded), ":true": boolean(true), ":false": boolean(false),
		},
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
