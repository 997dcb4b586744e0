package dynalite_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/dynalite"
	"diecast/internal/local/hostiletest"
	"diecast/internal/local/server/servertest"
)

// valid requests of the operations.
func valid(t *testing.T, server *dynalite.Server) (samples []hostiletest.Sample) {
	login, err := server.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	const names, values = `"ExpressionAttributeNames":{"#a":"a"}`, `"ExpressionAttributeValues":{":a":{"N":"1"}}`
	for _, operation := range [][2]string{
		{"PutItem", `{"TableName":"odd","Item":{"id":{"S":"a"},"n":{"N":"1"},"b":{"B":"YQ=="},"l":{"L":[{"S":"a"}]},` +
			`"m":{"M":{"a":{"BOOL":true}}},"s":{"SS":["a"]},"ns":{"NS":["1"]},"z":{"NULL":true}},` +
			`"ConditionExpression":"attribute_not_exists(#a) OR #a < :a",` + names + `,` + values + `}`},
		{"PutItem", `{"TableName":"odd","Item":{"id":{"S":"a"}},"Expected":{"a":{"Exists":false}},` +
			`"ReturnValues":"ALL_OLD"}`},
		{"GetItem", `{"TableName":"odd","Key":{"id":{"S":"a"}},"ProjectionExpression":"#a, b.c[0]",` + names + `}`},
		{"GetItem", `{"TableName":"odd","Key":{"id":{"S":"a"}},"AttributesToGet":["a"],"ConsistentRead":true}`},
		{"UpdateItem", `{"TableName":"odd","Key":{"id":{"S":"a"}},"UpdateExpression":"SET #a = if_not_exists(#a,` +
			` :a) + :a REMOVE b ADD c :a",` +
			`"ConditionExpression":"#a < :a AND NOT contains(b, :a)","ReturnValues":"ALL_NEW",` + names + `,` +
			values + `}`},
		{"UpdateItem", `{"TableName":"odd","Key":{"id":{"S":"a"}},"AttributeUpdates":{"a":{"Action":"ADD",` +
			`"Value":{"N":"1"}}}}`},
		{"DeleteItem", `{"TableName":"odd","Key":{"id":{"S":"a"}},"ConditionExpression":"#a = :a",` + names + `,` +
			values + `}`},
		{"Query", `{"TableName":"odd","IndexName":"by_n","KeyConditionExpression":"n = :a",` +
			`"FilterExpression":"#a = :a","Limit":1,` +
			`"ScanIndexForward":false,"ExclusiveStartKey":{"id":{"S":"a"},"n":{"N":"1"}},` + names + `,` + values +
			`}`},
		{"Query", `{"TableName":"odd","KeyConditions":{"id":{"ComparisonOperator":"EQ",` +
			`"AttributeValueList":[{"S":"a"}]}},"Select":"COUNT",` +
			`"QueryFilter":{"a":{"ComparisonOperator":"IN","AttributeValueList":[{"S":"a"}]}}}`},
		{"Scan", `{"TableName":"odd","FilterExpression":"#a BETWEEN :a AND :a","Limit":1,"Segment":0,` +
			`"TotalSegments":1,` + names + `,` + values + `}`},
		{"Scan", `{"TableName":"odd","ScanFilter":{"a":{"ComparisonOperator":"CONTAINS",` +
			`"AttributeValueList":[{"S":"a"}]}},"ExclusiveStartKey":{"id":{"S":"a"}}}`},
		{"BatchGetItem", `{"RequestItems":{"odd":{"Keys":[{"id":{"S":"a"}}]}}}`},
		{"BatchWriteItem", `{"RequestItems":{"odd":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},` +
			`{"DeleteRequest":{"Key":{"id":{"S":"b"}}}}]}}`},
		{"CreateTable", `{"TableName":"other","KeySchema":[{"AttributeName":"id","KeyType":"HASH"},` +
			`{"AttributeName":"n","KeyType":"RANGE"}],` +
			`"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"n",` +
			`"AttributeType":"N"}],"BillingMode":"PAY_PER_REQUEST",` +
			`"LocalSecondaryIndexes":[{"IndexName":"abc","KeySchema":[{"AttributeName":"id","KeyType":"HASH"},` +
			`{"AttributeName":"n","KeyType":"RANGE"}],` +
			`"Projection":{"ProjectionType":"ALL"}}],"GlobalSecondaryIndexes":[{"IndexName":"abd",` +
			`"KeySchema":[{"AttributeName":"n","KeyType":"HASH"}],` +
			`"Projection":{"ProjectionType":"INCLUDE","NonKeyAttributes":["a"]}}]}`},
		{"UpdateTable", `{"TableName":"other","BillingMode":"PROVISIONED",` +
			`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1},` +
			`"GlobalSecondaryIndexUpdates":[{"Update":{"IndexName":"abd",` +
			`"ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":1}}}]}`},
		{"DescribeTable", `{"TableName":"odd"}`}, {"DeleteTable", `{"TableName":"other"}`},
		{"ListTables", `{"Limit":1,"ExclusiveStartTableName":"abc"}`}, {"DescribeTimeToLive", `{"TableName":"odd"}`},
		{"TagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/odd","Tags":[{"Key":"a",` +
			`"Value":"b"}]}`},
		{"UntagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/odd","TagKeys":["a"]}`},
		{"ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/odd","NextToken":"a"}`},
	} {
		samples = append(samples, hostiletest.Sample{Name: operation[0], Body: operation[1], Headers: map[string]string{
			"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDB_20120810." + operation[0],
			"X-Amz-Date": "20260101T000000Z", "Authorization": "AWS4-HMAC-SHA256 Credential=" + login.AccessKeyID +
				"/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date, Signature=a",
		}})
	}
	return samples
}

func started(t *testing.T) *dynalite.Server {
	servertest.Needed(t, "dynalite")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	server, err := dynalite.Start(ctx, dynalite.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop(context.Background())) })
	id := dynalite.Attribute{Name: "id"}
	require.NoError(t, server.CreateTable(ctx, dynalite.Table{Name: "kept", Key: dynalite.Key{Partition: id}}))
	require.NoError(t, server.CreateTable(ctx, dynalite.Table{Name: "odd", Key: dynalite.Key{Partition: id},
		Indexes: []dynalite.Index{{Name: "by_n", Key: dynalite.Key{
			Partition: dynalite.Attribute{Name: "n", Type: types.ScalarAttributeTypeN}, Sort: id}}}}))
	return server
}

// What is malformed is refused as DynamoDB refuses it, at once.
func TestMalformedRequestsAreAnsweredAsDynamoDBDoes(t *testing.T) {
	server := started(t)
	samples := map[string]hostiletest.Sample{}
	for _, sample := range valid(t, server) {
		samples[sample.Name] = sample
	}
	deep := strings.Repeat(`{"L":[`, 3000) + strings.Repeat(`]}`, 3000)
	const scan = `{"TableName":"odd","ExpressionAttributeValues":{":a":{"N":"1"}},"FilterExpression":"%s"}`
	for _, c := range []struct{ operation, body, kind string }{
		{"CreateTable", `null`, "SerializationException"}, {"PutItem", `[]`, "SerializationException"},
		{"PutItem", `{`, "SerializationException"}, {"PutItem", ``, "SerializationException"},
		{"PutItem", `{"TableName":"odd","Item":{"id":{"S":"a"},"deep":` + deep + `}}`, "ValidationException"},
		{"PutItem", `{"TableName":"odd","Item":{"id":null}}`, "ValidationException"},
		{"PutItem", `{"TableName":"odd","Item":{"id":{"S":"a"}},"Expected":{"a":null}}`, "ValidationException"},
		{"BatchWriteItem", `{"RequestItems":{"odd":[null]}}`, "ValidationException"},
		{"Scan", `{"TableName":"odd","ExclusiveStartKey":{"id":null}}`, "ValidationException"},
		{"Scan", fmt.Sprintf(scan, strings.Repeat("(", 400)+"a"), "ValidationException"},
		{"Scan", fmt.Sprintf(scan, strings.Repeat("NOT (", 50)), "ValidationException"},
		{"TagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:000000000000:table/odd","Tags":[{}]}`,
			"ValidationException"},
	} {
		sample := samples[c.operation]
		sample.Body = c.body
		answer, err := sample.Request("").Send(server.Address())
		require.NoError(t, err, "%s %.100s", c.operation, c.body)
		assert.Equal(t, http.StatusBadRequest, answer.Status, "%s %.100s: %s", c.operation, c.body, answer.Body)
		assert.Contains(t, answer.Body, "#"+c.kind+`"`, "%s %.100s", c.operation, c.body)
	}
}

// An expression with many levels means what it says.
func TestExpressionsMayBeDeep(t *testing.T) {
	server := started(t)
	_, err := server.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("kept"),
		Item: map[string]types.AttributeValue{"id": text("a"), "n": number("1")}})
	require.NoError(t, err)
	for last, found := range map[string]int32{"n = :n": 1, "n < :n": 0} {
		output, err := server.Client().Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("kept"),
			FilterExpression:          aws.String(strings.Repeat("(n = :n AND ", 20) + last + strings.Repeat(")", 20)),
			ExpressionAttributeValues: map[string]types.AttributeValue{":n": number("1")}})
		require.NoError(t, err)
		assert.Equal(t, found, output.Count, last)
	}
}

func TestNoRequestEndsIt(t *testing.T) {
	server := started(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	client, rows := server.Client(), 0
	holds := func() {
		for _, table := range []string{"kept", "odd"} {
			_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(table),
				Item: map[string]types.AttributeValue{"id": text("kept " + strconv.Itoa(rows))}})
			require.NoError(t, err)
		}
		rows++
		found, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("kept")})
		require.NoError(t, err)
		assert.Len(t, found.Items, rows)
	}
	holds()
	t.Cleanup(func() { assert.NoError(t, server.Err()) })
	t.Log(hostiletest.Fuzz(t, server.Address(), hostiletest.Requests(1, 1500, valid(t, server)), holds))
}
