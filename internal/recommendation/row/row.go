// Package row is the contract of the table that the shop reads: one item for each session, which
// holds the latest recommendation record. It names the attributes, the key and the index, writes
// and reads an item, and says when one may replace another.
//
// It must not know who makes a record or how an item travels: it has no client.
package row

import (
	"bytes"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"diecast/internal/recommendation"
)

// The attributes of an item.
const (
	// SessionID is the partition key, a string.
	SessionID = "session_id"
	// CustomerNumber is the partition key of CustomerIndex, a number.
	CustomerNumber = "customer_number"
	// EventTime is the sort key of CustomerIndex, a string: UTC in RFC 3339 of fixed width, so that
	// the order of the texts is the order of the times.
	EventTime = "event_time"
	// EventID is a UUID in lower-case text, which has the order of its bytes.
	EventID = "event_id"
	// Record is the recommendation record: its line of JSON without the newline.
	Record = "record"
	// ModelVersion, Rung and Degraded are those of the record; rows that were written before there
	// were rungs have none.
	ModelVersion = "model_version"
	Rung         = "rung"
	Degraded     = "degraded"
	// ExpiresAt is when DynamoDB may delete the item, in Unix seconds.
	ExpiresAt = "expires_at"
)

// CustomerIndex finds a customer's sessions by CustomerNumber, in the order of EventTime. It holds
// keys only.
const CustomerIndex = "customer_number-event_time"

// timeLayout is that of EventTime.
const timeLayout = "2006-01-02T15:04:05.000000000Z"

// Item is a record's row, which expires keep after the record was made.
func Item(record recommendation.Record, keep time.Duration) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		SessionID:      text(record.Event.SessionID),
		CustomerNumber: number(int64(record.Event.CustomerNumber)),
		EventTime:      eventTime(record),
		EventID:        text(record.Event.ID.String()),
		Record:         text(string(bytes.TrimSuffix(record.Encode(), []byte("\n")))),
		ModelVersion:   text(record.ModelVersion),
		Rung:           text(record.Rung.String()),
		Degraded:       boolean(record.Rung.Degraded()),
		ExpiresAt:      number(record.RecommendedAt.Add(keep).Unix()),
	}
}

// Condition is recommendation.Record.Supersedes in DynamoDB's words: under it an item may be put.
// It takes Values. DynamoDB compares texts by their UTF-8 bytes, which for EventTime, of fixed
// width in UTC, is the order of the times to the nanosecond, and for EventID that of the ids'
// bytes.
const Condition = "attribute_not_exists(" + SessionID + ")" +
	" OR " + EventTime + " < :time" +
	" OR (" + EventTime + " = :time AND " + EventID + " < :id)" +
	" OR (" + EventTime + " = :time AND " + EventID + " = :id AND " + Degraded + " = :beaten)"

// Values are those of Condition for the record that is to be put.
func Values(record recommendation.Record) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		":id": text(record.Event.ID.String()), ":time": eventTime(record), ":beaten": beaten(record),
	}
}

// beaten is the Degraded of a row that gives way to the record in spite of the same time and id:
// true where the record is answered; where it is degraded null, which no row has.
func beaten(record recommendation.Record) types.AttributeValue {
	if record.Rung.Degraded() {
		return &types.AttributeValueMemberNULL{Value: true}
	}
	return boolean(true)
}

// ReadRecord is the record that an item holds.
func ReadRecord(item map[string]types.AttributeValue) (recommendation.Record, error) {
	line, err := readText(item, Record)
	if err != nil {
		return recommendation.Record{}, err
	}
	record, err := recommendation.Decode([]byte(line))
	if err != nil {
		return recommendation.Record{}, fmt.Errorf("%s: %w", Record, err)
	}
	return record, nil
}

// ReadPlace is the place, in the order of records, of the record that an item holds. Where the item
// does not say whether it is degraded, it is not.
func ReadPlace(item map[string]types.AttributeValue) (recommendation.Place, error) {
	_, at, err := ReadPosition(item)
	if err != nil {
		return recommendation.Place{}, err
	}
	written, err := readText(item, EventID)
	if err != nil {
		return recommendation.Place{}, err
	}
	id, err := uuid.Parse(written)
	if err != nil {
		return recommendation.Place{}, fmt.Errorf("%s: %w", EventID, err)
	}
	degraded, _ := item[Degraded].(*types.AttributeValueMemberBOOL)
	return recommendation.Place{Time: at, ID: id, Answered: degraded == nil || !degraded.Value}, nil
}

// Expired says whether an item is gone: DynamoDB deletes it up to days later. One without a
// readable ExpiresAt never is.
func Expired(item map[string]types.AttributeValue, now time.Time) bool {
	value, ok := item[ExpiresAt].(*types.AttributeValueMemberN)
	if !ok {
		return false
	}
	seconds, err := strconv.ParseInt(value.Value, 10, 64)
	return err == nil && seconds <= now.Unix()
}

// CustomerKey is a customer's partition key in CustomerIndex.
func CustomerKey(customer int) types.AttributeValue { return number(int64(customer)) }

// TimeKey is a moment as EventTime has it.
func TimeKey(moment time.Time) types.AttributeValue { return text(moment.UTC().Format(timeLayout)) }

// Key is a session's key.
func Key(session string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{SessionID: text(session)}
}

// ReadSession is the session of an item, whatever else can be read of it.
func ReadSession(item map[string]types.AttributeValue) (string, error) {
	return readText(item, SessionID)
}

// ReadPosition is the session of an item, and the time of the event that it has reached.
func ReadPosition(item map[string]types.AttributeValue) (session string, upTo time.Time, err error) {
	session, err = ReadSession(item)
	if err != nil {
		return "", time.Time{}, err
	}
	written, err := readText(item, EventTime)
	if err != nil {
		return "", time.Time{}, err
	}
	upTo, err = time.Parse(timeLayout, written)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%s: %w", EventTime, err)
	}
	return session, upTo, nil
}

func readText(item map[string]types.AttributeValue, attribute string) (string, error) {
	value, ok := item[attribute].(*types.AttributeValueMemberS)
	if !ok {
		return "", fmt.Errorf("a row without the text %s", attribute)
	}
	return value.Value, nil
}

func eventTime(record recommendation.Record) types.AttributeValue { return TimeKey(record.Event.Time) }

func text(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

func number(value int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(value, 10)}
}

func boolean(value bool) types.AttributeValue { return &types.AttributeValueMemberBOOL{Value: value} }
