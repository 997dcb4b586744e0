// Package reading is how recommendations are read where the shop reads them: the latest of a
// session, the latest of a customer, and, by waiting, the answer to an event that was just sent.
//
// What a row is and which record counts are the contracts of internal/recommendation; this package
// knows the rules by which they are looked up. It must not know who asks: it has no HTTP, and no
// model but the ranking that a stranger gets.
package reading

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

const (
	// popularItems is how many items a stranger gets: as many as an event, the course's five.
	popularItems = 5
	// batchKeys bounds a BatchGetItem.
	// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
	batchKeys = 100
	// customerRows bounds the rows that are looked at for a customer, so many at a time: those
	// before the latest are looked at only where later ones have expired.
	customerRows, customerPage = 200, 20
)

// Table is the part of the DynamoDB client that is used.
type Table interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (
		*dynamodb.BatchGetItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// Answer is what a shop shows.
type Answer = recommendation.Answer

// Reader reads a table of rows. Every method may be called concurrently.
type Reader struct {
	Table Table
	// Name is the table's.
	Name string
	// Popular is the ranking of the active model.
	Popular func(context.Context) (recommendation.Ranking, error)
	// MostWaiters bounds those who wait for an event at any time, and those who watch, each for
	// itself: many who wait take no place from a page that stays open. Default 1,000.
	MostWaiters int

	waiting seats
	watched seats
	poll    poll
	lookout lookout
}

// Session is the latest answer to a session's events. A session without one, or whose row has
// expired, is a stranger's and gets the active model's most popular products. A text that can be no
// session is an *activity.Error.
func (r *Reader) Session(ctx context.Context, session string) (Answer, error) {
	if err := activity.CheckSessionID(session); err != nil {
		return Answer{}, err
	}
	output, err := r.Table.GetItem(ctx, &dynamodb.GetItemInput{TableName: &r.Name, Key: row.Key(session)})
	if err != nil {
		return Answer{}, fmt.Errorf("read the session's row in table %s: %w", r.Name, err)
	}
	return r.answer(ctx, output.Item)
}

// Customer is the latest answer to the events of all of a customer's sessions. An unknown customer
// gets what a stranger gets. A number that can be no customer's is an *activity.Error.
func (r *Reader) Customer(ctx context.Context, customer int) (Answer, error) {
	if err := checkCustomer(customer); err != nil {
		return Answer{}, err
	}
	input := r.latestFirst(customer, customerPage)
	for looked := 0; looked < customerRows; looked += customerPage {
		page, err := r.Table.Query(ctx, input)
		if err != nil {
			return Answer{}, fmt.Errorf("find the customer's sessions in table %s: %w", r.Name, err)
		}
		latest, err := r.latest(ctx, page.Items, customer)
		if err != nil {
			return Answer{}, err
		}
		if latest != nil {
			return answered(*latest), nil
		}
		if len(page.LastEvaluatedKey) == 0 {
			break
		}
		input.ExclusiveStartKey = page.LastEvaluatedKey
	}
	return r.answer(ctx, nil)
}

func checkCustomer(customer int) error {
	if customer >= 0 && customer <= activity.MaxCustomerNumber {
		return nil
	}
	return &activity.Error{Violations: []activity.Violation{{
		Field: "customer_number", Value: fmt.Sprint(customer),
		Allowed: fmt.Sprintf("a whole number from 0 to %d", activity.MaxCustomerNumber),
	}}}
}

// latestFirst asks the index for a customer's sessions, those with the latest events first.
func (r *Reader) latestFirst(customer, most int) *dynamodb.QueryInput {
	return &dynamodb.QueryInput{
		TableName: &r.Name, IndexName: aws.String(row.CustomerIndex), ScanIndexForward: aws.Bool(false),
		Limit: aws.Int32(int32(most)), KeyConditionExpression: aws.String("#customer = :customer"),
		ExpressionAttributeNames:  map[string]string{"#customer": row.CustomerNumber},
		ExpressionAttributeValues: map[string]types.AttributeValue{":customer": row.CustomerKey(customer)},
	}
}

// mostSince bounds the sessions that Since tells of one customer.
const mostSince = 100

// Since are the sessions of a customer whose latest event is not before a moment, each with the
// time of that event, the latest mostSince of them. It reads the index alone, which follows the
// table.
func (r *Reader) Since(ctx context.Context, customer int, moment time.Time) (map[string]time.Time, error) {
	if err := checkCustomer(customer); err != nil {
		return nil, err
	}
	input := r.latestFirst(customer, mostSince)
	input.KeyConditionExpression = aws.String("#customer = :customer AND #time >= :time")
	input.ExpressionAttributeNames["#time"] = row.EventTime
	input.ExpressionAttributeValues[":time"] = row.TimeKey(moment)
	page, err := r.Table.Query(ctx, input)
	if err != nil {
		return nil, fmt.Errorf("find the customer's sessions in table %s: %w", r.Name, err)
	}
	sessions := make(map[string]time.Time, len(page.Items))
	for _, key := range page.Items {
		session, at, err := row.ReadPosition(key)
		if err != nil {
			return nil, fmt.Errorf("index %s of table %s: %w", row.CustomerIndex, r.Name, err)
		}
		sessions[session] = at
	}
	return sessions, nil
}

// latest record of the rows that an index names; nil where all have expired, or are another
// customer's by now: the index follows the table. A row that cannot be read is told where there is
// no other.
func (r *Reader) latest(ctx context.Context, keys []map[string]types.AttributeValue, customer int) (
	latest *recommendation.Record, err error) {
	var sessions []string
	for _, key := range keys {
		session, _, err := row.ReadPosition(key)
		if err != nil {
			return nil, fmt.Errorf("index %s of table %s: %w", row.CustomerIndex, r.Name, err)
		}
		sessions = append(sessions, session)
	}
	rows, err := r.rows(ctx, sessions)
	if err != nil {
		return nil, err
	}
	var unreadable error
	for _, item := range rows {
		if row.Expired(item, time.Now()) {
			continue
		}
		record, err := row.ReadRecord(item)
		if err != nil {
			unreadable = fmt.Errorf("table %s: %w", r.Name, err)
			continue
		}
		if record.Event.CustomerNumber == customer && (latest == nil || record.Supersedes(*latest)) {
			latest = &record
		}
	}
	if latest != nil {
		return latest, nil
	}
	return nil, unreadable
}

// rows of sessions, those that there are, by session. DynamoDB may leave keys for another call: as
// long as each brings something on, it is made.
func (r *Reader) rows(ctx context.Context, sessions []string) (map[string]map[string]types.AttributeValue, error) {
	rows := make(map[string]map[string]types.AttributeValue, len(sessions))
	var left []map[string]types.AttributeValue
	for _, session := range sessions {
		left = append(left, row.Key(session))
	}
	for len(left) > 0 {
		asked := left[:min(batchKeys, len(left))]
		left = left[len(asked):]
		output, err := r.Table.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{r.Name: {Keys: asked}},
		})
		if err != nil {
			return nil, fmt.Errorf("read %d rows of table %s: %w", len(asked), r.Name, err)
		}
		for _, item := range output.Responses[r.Name] {
			session, err := row.ReadSession(item) // what else is broken is told to who asked for that row
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", r.Name, err)
			}
			rows[session] = item
		}
		unprocessed := output.UnprocessedKeys[r.Name].Keys
		if len(unprocessed) >= len(asked) {
			return nil, fmt.Errorf("read %d rows of table %s: %w", len(asked), r.Name, errThrottled)
		}
		left = append(left, unprocessed...)
	}
	return rows, nil
}

// answer is that of a row; nil, and one that has expired, are a stranger's.
func (r *Reader) answer(ctx context.Context, item map[string]types.AttributeValue) (Answer, error) {
	if len(item) > 0 && !row.Expired(item, time.Now()) {
		record, err := row.ReadRecord(item)
		if err != nil {
			return Answer{}, fmt.Errorf("table %s: %w", r.Name, err)
		}
		return answered(record), nil
	}
	ranking, err := r.Popular(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("the most popular products: %w", err)
	}
	return Answer{
		Items: recommendation.NotInCart(ranking.Items, nil, popularItems), ModelVersion: ranking.ModelVersion,
		Rung: recommendation.Popular, RecommendedAt: time.Now(),
	}, nil
}

func answered(record recommendation.Record) Answer {
	return Answer{
		Items: record.Items, Similar: record.Similar, ModelVersion: record.ModelVersion, Rung: record.Rung,
		Event: &record.Event, RecommendedAt: record.RecommendedAt,
	}
}
