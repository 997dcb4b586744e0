package browser

import (
	"context"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/catalogue"
	"diecast/internal/local/dynalite"
	"diecast/internal/picture"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/reading"
	"diecast/internal/recommendation/row"
)

// platform answers events as the real one does, but by a rule instead of a model, and writes the
// rows that the shop reads.
type platform struct {
	held   *catalogue.Catalogue
	table  *dynamodb.Client
	reader *reading.Reader
	all    []catalogue.Product
}

const (
	modelVersion = "0123456789ab"
	// takes is how long an answer takes.
	takes = 100 * time.Millisecond
)

func newPlatform(t *testing.T, held *catalogue.Catalogue) *platform {
	t.Helper()
	engine, err := dynalite.Start(t.Context(), dynalite.Options{})
	require.NoError(t, err, "run `make setup`")
	t.Cleanup(func() { assert.NoError(t, engine.Stop(context.Background())) })
	number := dynalite.Attribute{Name: row.CustomerNumber, Type: types.ScalarAttributeTypeN}
	require.NoError(t, engine.CreateTable(t.Context(), dynalite.Table{
		Name: "recommendations", Key: dynalite.Key{Partition: dynalite.Attribute{Name: row.SessionID}},
		Indexes: []dynalite.Index{{Name: row.CustomerIndex, Projection: types.ProjectionTypeKeysOnly,
			Key: dynalite.Key{Partition: number, Sort: dynalite.Attribute{Name: row.EventTime}}}},
	}))
	p := &platform{held: held, table: engine.Client()}
	p.all, _ = held.Search("", "", 0, held.Len())
	p.reader = &reading.Reader{Table: p.table, Name: "recommendations",
		Popular: func(context.Context) (recommendation.Ranking, error) {
			ranking := recommendation.Ranking{ModelVersion: modelVersion}
			for i, product := range p.all[:20] {
				ranking.Items = append(ranking.Items, recommendation.Item{ID: product.Code, Score: float64(300 - i)})
			}
			return ranking, nil
		}}
	return p
}

func (p *platform) catalogue() picture.State[catalogue.Catalogue] {
	return picture.State[catalogue.Catalogue]{Held: p.held}
}

// put answers an event, after a while.
func (p *platform) put(_ context.Context, _ string, content []byte) error {
	event, err := activity.Decode(content)
	if err != nil {
		return err
	}
	time.AfterFunc(takes, func() { _ = p.answer(event) }) // the test may have ended
	return nil
}

func (p *platform) answer(event activity.Event) error {
	features := event.Features()
	sum := fnv.New32()
	fmt.Fprint(sum, features)
	first := int(sum.Sum32() % uint32(len(p.all)))
	record := recommendation.Record{Event: event, ModelVersion: modelVersion, RecommendedAt: time.Now()}
	var ranked []recommendation.Item
	for i := range 20 {
		code := p.all[(first+7*i)%len(p.all)].Code
		ranked = append(ranked, recommendation.Item{ID: code, Score: 0.93 - 0.021*float64(i)})
	}
	record.Items = recommendation.NotInCart(ranked, event.Cart(), 5)
	for _, code := range event.Products() {
		found, known := p.held.Find(code)
		if !known {
			continue
		}
		line, _ := p.held.Search(found.Line, "", 0, p.held.Len())
		similar := recommendation.Similar{ProductCode: code}
		for i, one := range line {
			if one.Code != code && len(similar.Items) < 5 {
				similar.Items = append(similar.Items,
					recommendation.Neighbour{ID: one.Code, Distance: 0.04 + 0.013*float64(i)})
			}
		}
		record.Similar = append(record.Similar, similar)
	}
	_, err := p.table.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: aws.String("recommendations"),
		Item: row.Item(record, time.Hour)})
	return err
}

// event of a customer whose cart and history are the products, the first in the cart.
func (p *platform) event(t *testing.T, session string, customer int, products ...string) activity.Event {
	t.Helper()
	history := ""
	for i, code := range products {
		history += fmt.Sprintf(`,{"product_code":%q,"quantity":%d,"in_shopping_cart":%t}`, code, i+1, i == 0)
	}
	if history != "" {
		history = history[1:]
	}
	event, err := activity.Decode(fmt.Appendf(nil, `{"session_id":%q,"customer_number":%d,"city":"Nantes",`+
		`"country":"France","credit_limit":21000,"event_type":"cart","event_id":%q,"event_time":%q,`+
		`"browse_history":[%s]}`,
		session, customer, uuid.NewString(), time.Now().UTC().Format(time.RFC3339Nano), history))
	require.NoError(t, err)
	return event
}
