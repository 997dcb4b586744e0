package reading

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

type item = map[string]types.AttributeValue

// table is DynamoDB's in memory.
type table struct {
	mutex sync.Mutex
	rows  map[string]item
	// readings are the keys of each BatchGetItem, and when it was asked.
	readings [][]string
	at       []time.Time
	// queries are the customers of each Query.
	queries []string
	// most is how many keys a BatchGetItem processes; 0 for all.
	most int
	err  error
}

func (t *table) put(record recommendation.Record, keep time.Duration) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if t.rows == nil {
		t.rows = map[string]item{}
	}
	t.rows[record.Event.SessionID] = row.Item(record, keep)
}

func session(key item) string { return key[row.SessionID].(*types.AttributeValueMemberS).Value }

func (t *table) GetItem(_ context.Context, input *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.GetItemOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return &dynamodb.GetItemOutput{Item: t.rows[session(input.Key)]}, t.err
}

func (t *table) BatchGetItem(_ context.Context, input *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.BatchGetItemOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	keys := input.RequestItems["recommendations"].Keys
	if len(keys) == 0 || len(keys) > 100 {
		return nil, fmt.Errorf("%d keys", len(keys))
	}
	var asked []string
	for _, key := range keys {
		asked = append(asked, session(key))
	}
	t.readings, t.at = append(t.readings, asked), append(t.at, time.Now())
	if t.err != nil {
		return nil, t.err
	}
	output := &dynamodb.BatchGetItemOutput{Responses: map[string][]item{}}
	processed := len(keys)
	if t.most > 0 {
		processed = min(processed, t.most)
	}
	for _, name := range asked[:processed] {
		if found, there := t.rows[name]; there {
			output.Responses["recommendations"] = append(output.Responses["recommendations"], found)
		}
	}
	if processed < len(keys) {
		output.UnprocessedKeys = map[string]types.KeysAndAttributes{"recommendations": {Keys: keys[processed:]}}
	}
	return output, nil
}

// Query reads the index, which has keys only.
func (t *table) Query(_ context.Context, input *dynamodb.QueryInput, _ ...func(*dynamodb.Options)) (
	*dynamodb.QueryOutput, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	wanted := input.ExpressionAttributeValues[":customer"].(*types.AttributeValueMemberN).Value
	var found []item
	since := ""
	if bound, asked := input.ExpressionAttributeValues[":time"].(*types.AttributeValueMemberS); asked {
		since = bound.Value
	}
	t.queries = append(t.queries, wanted)
	for _, stored := range t.rows {
		if stored[row.CustomerNumber].(*types.AttributeValueMemberN).Value == wanted &&
			stored[row.EventTime].(*types.AttributeValueMemberS).Value >= since {
			found = append(found, item{row.SessionID: stored[row.SessionID], row.EventTime: stored[row.EventTime],
				row.CustomerNumber: stored[row.CustomerNumber]})
		}
	}
	when := func(i item) string { return i[row.EventTime].(*types.AttributeValueMemberS).Value + session(i) }
	slices.SortFunc(found, func(a, b item) int { return -cmp.Compare(when(a), when(b)) })
	if input.ExclusiveStartKey != nil {
		for len(found) > 0 && when(found[0]) >= when(input.ExclusiveStartKey) {
			found = found[1:]
		}
	}
	output := &dynamodb.QueryOutput{Items: found[:min(len(found), int(*input.Limit))]}
	if len(output.Items) < len(found) {
		output.LastEvaluatedKey = output.Items[len(output.Items)-1]
	}
	return output, t.err
}

const version, active = "0123456789ab", "fedcba987654"

func popular(context.Context) (recommendation.Ranking, error) {
	ranking := recommendation.Ranking{ModelVersion: active}
	for i := range 9 {
		ranking.Items = append(ranking.Items, recommendation.Item{ID: fmt.Sprintf("P%d", i), Score: float64(9 - i)})
	}
	return ranking, nil
}

func reader(t *table) *Reader { return &Reader{Table: t, Name: "recommendations", Popular: popular} }

// record of a customer's event in a session; its id follows from the number.
func record(t *testing.T, session string, customer, number int, at time.Time) recommendation.Record {
	t.Helper()
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":%d,"city":"Nantes",`+
		`"country":"France","credit_limit":21000,"event_id":"00000000-0000-4000-8000-%012d","event_time":%q}`,
		session, customer, number, at.UTC().Format(time.RFC3339Nano)))
	require.NoError(t, err)
	return recommendation.Record{
		Event: event, ModelVersion: version, RecommendedAt: at.UTC().Truncate(time.Millisecond),
		Items: []recommendation.Item{{ID: "S" + strconv.Itoa(number), Score: 0.5}},
		Similar: []recommendation.Similar{
			{ProductCode: "S1", Items: []recommendation.Neighbour{{ID: "S2", Distance: 0.1}}},
		},
		Rung: recommendation.Memory,
	}
}

// One row that cannot be read hides no other of its customer, and is told where there is none.
func TestARowThatCannotBeReadHidesNoOther(t *testing.T) {
	rows := &table{}
	r := reader(rows)
	at := time.Now().Add(-time.Minute)
	readable := record(t, "a", 1, 1, at)
	rows.put(readable, time.Hour)
	for i, customer := range []int{1, 2} {
		broken := record(t, fmt.Sprintf("b%d", i), customer, 10+i, at.Add(time.Second))
		rows.put(broken, time.Hour)
		rows.rows[broken.Event.SessionID][row.Record] = &types.AttributeValueMemberS{Value: "{"}
	}
	answer, err := r.Customer(t.Context(), 1)
	requireAnswer(t, readable, answer, err)
	_, err = r.Customer(t.Context(), 2)
	require.ErrorContains(t, err, "table recommendations: record")
}

func requireStranger(t *testing.T, answer Answer, err error) {
	t.Helper()
	require.NoError(t, err)
	assert.Nil(t, answer.Event)
	assert.Equal(t, recommendation.Popular, answer.Rung)
	assert.Equal(t, active, answer.ModelVersion)
	assert.Len(t, answer.Items, popularItems)
	assert.Equal(t, "P0", answer.Items[0].ID)
	assert.WithinDuration(t, time.Now(), answer.RecommendedAt, time.Minute)
}

func requireAnswer(t *testing.T, want recommendation.Record, answer Answer, err error) {
	t.Helper()
	require.NoError(t, err)
	require.NotNil(t, answer.Event)
	assert.Equal(t, want.Event.ID, answer.Event.ID)
	assert.Equal(t, Answer{Items: want.Items, Similar: want.Similar, ModelVersion: version,
		Rung: recommendation.Memory, Event: answer.Event, RecommendedAt: want.RecommendedAt}, answer)
}

func TestASessionGetsItsLatestAndAStrangerTheMostPopular(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := &table{}
		r := reader(rows)
		answer, err := r.Session(t.Context(), "a")
		requireStranger(t, answer, err)
		latest := record(t, "a", 1, 7, time.Now())
		rows.put(latest, time.Hour)
		answer, err = r.Session(t.Context(), "a")
		requireAnswer(t, latest, answer, err)
		// DynamoDB deletes up to days later.
		time.Sleep(time.Hour - time.Second)
		answer, err = r.Session(t.Context(), "a")
		requireAnswer(t, latest, answer, err)
		time.Sleep(time.Second)
		answer, err = r.Session(t.Context(), "a")
		requireStranger(t, answer, err)
		answer, err = r.Customer(t.Context(), 1)
		requireStranger(t, answer, err)
	})
}

func TestOddQueriesAreRefused(t *testing.T) {
	r := reader(&table{})
	tooLong := strings.Repeat("s", activity.MaxSessionID+1)
	for _, odd := range []string{"", "a b", "é", "a\nb", "\x00", tooLong, "\u202e"} {
		var refused *activity.Error
		_, err := r.Session(t.Context(), odd)
		require.ErrorAs(t, err, &refused, "%q", odd)
		assert.Equal(t, "session_id", refused.Violations[0].Field)
		_, _, err = r.Wait(t.Context(), odd, Awaited{})
		require.ErrorAs(t, err, &refused, "%q", odd)
	}
	for _, odd := range []int{-1, activity.MaxCustomerNumber + 1} {
		var refused *activity.Error
		_, err := r.Customer(t.Context(), odd)
		require.ErrorAs(t, err, &refused)
		assert.Equal(t, "customer_number", refused.Violations[0].Field)
	}
	_, err := r.Session(t.Context(), `<script>'"%00../..`)
	require.NoError(t, err, "odd, but a session's id may be so")
}

func TestACustomerGetsTheLatestOfAllSessions(t *testing.T) {
	at := time.Now()
	rows := &table{}
	r := reader(rows)
	for i := range 30 {
		rows.put(record(t, fmt.Sprintf("s%d", i), 1, i, at.Add(time.Duration(i%7)*time.Second)), time.Hour)
	}
	rows.put(record(t, "other", 2, 99, at.Add(time.Hour)), time.Hour)
	answer, err := r.Customer(t.Context(), 1)
	requireAnswer(t, record(t, "s27", 1, 27, at.Add(6*time.Second)), answer, err)
	answer, err = r.Customer(t.Context(), 3)
	requireStranger(t, answer, err)

	// Later rows have expired, more of them than a page.
	for i := range 45 {
		rows.put(record(t, fmt.Sprintf("late%d", i), 1, 100+i, at.Add(time.Minute)), -2*time.Hour)
	}
	answer, err = r.Customer(t.Context(), 1)
	requireAnswer(t, record(t, "s27", 1, 27, at.Add(6*time.Second)), answer, err)

	// So many that no more are looked at.
	for i := range customerRows {
		rows.put(record(t, fmt.Sprintf("later%d", i), 1, 200+i, at.Add(2*time.Minute)), -2*time.Hour)
	}
	answer, err = r.Customer(t.Context(), 1)
	requireStranger(t, answer, err)
}

func TestARowThatIsAnotherCustomersByNowIsPassedOver(t *testing.T) {
	rows := &table{}
	rows.put(record(t, "a", 1, 1, time.Now()), time.Hour)
	index := rows.rows["a"]
	rows.put(record(t, "a", 2, 2, time.Now()), time.Hour)
	stale := rows.rows["a"]
	stale[row.CustomerNumber] = index[row.CustomerNumber]
	answer, err := reader(rows).Customer(t.Context(), 1)
	requireStranger(t, answer, err)
}

func TestUnreadableTablesAndRowsAreErrors(t *testing.T) {
	rows := &table{err: errors.New("access denied")}
	r := reader(rows)
	_, err := r.Session(t.Context(), "a")
	require.ErrorContains(t, err, "table recommendations: access denied")
	_, err = r.Customer(t.Context(), 1)
	require.ErrorContains(t, err, "table recommendations: access denied")
	rows.err = nil
	rows.rows = map[string]item{"a": row.Key("a")}
	_, err = r.Session(t.Context(), "a")
	require.ErrorContains(t, err, "without the text record")
	r.Popular = func(context.Context) (recommendation.Ranking, error) {
		return recommendation.Ranking{}, errors.New("no active model")
	}
	_, err = r.Session(t.Context(), "b")
	require.ErrorContains(t, err, "the most popular products: no active model")
}
