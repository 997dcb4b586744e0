package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/deployment/outputs"
)

// malformed is a request that no client of AWS sends.
type malformed struct {
	service string // the SDK's ServiceID
	name    string
	// target is the operation of a service that speaks JSON; method and path are another's.
	target, method, path string
	headers              map[string]string
	body                 string
	// raw is sent as it is, in place of all the above, and may be answered by hanging up.
	raw string
}

// malformedRequests are tried all. Names in them, such as STREAM, stand for the run's own.
func malformedRequests() []malformed {
	many, deep := strings.Repeat("9", 400), strings.Repeat("[", 20_000)
	var all []malformed
	json := func(service, target string, bodies ...string) {
		for _, body := range bodies {
			all = append(all, malformed{service: service, target: target, body: body,
				name: target + " " + body[:min(40, len(body))]})
		}
	}
	json(kinesis.ServiceID, "Kinesis_20131202.PutRecords", "", "null", "[]", `"text"`, "{", deep, "\x00", "\ufeff{}",
		"{}",
		`{"StreamName":null}`, `{"StreamName":"STREAM"}`, `{"StreamName":"STREAM","Records":null}`,
		`{"StreamName":"STREAM","Records":{}}`, `{"StreamName":"STREAM","Records":[null]}`,
		`{"StreamName":"STREAM","Records":["a"]}`, `{"StreamName":"STREAM","Records":[{"Data":1,"PartitionKey":2}]}`,
		`{"StreamName":"STREAM","Records":[{"Data":"?","PartitionKey":"a"}]}`,
		`{"StreamName":"__proto__","Records":[{"Data":"YQ==","PartitionKey":"a"}]}`,
		`{"StreamName":"STREAM","Records":[{"Data":"YQ==","PartitionKey":"`+strings.Repeat("k", 300)+`"}]}`,
		`{"StreamName":"STREAM","Records":[{"Data":"YQ==","PartitionKey":"a","ExplicitHashKey":"-1"}]}`,
		`{"StreamName":"STREAM","Records":[{"Data":"YQ==","PartitionKey":"a","ExplicitHashKey":"`+many+`"}]}`)
	json(kinesis.ServiceID, "Kinesis_20131202.PutRecord", `{"StreamName":"length","PartitionKey":"a","Data":""}`,
		`{"StreamName":"STREAM","PartitionKey":"","Data":""}`,
		`{"StreamName":"STREAM","PartitionKey":"a","Data":"YQ==","SequenceNumberForOrdering":"`+many+`"}`)
	json(kinesis.ServiceID, "Kinesis_20131202.GetShardIterator", "{}",
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"NEVER"}`,
		`{"StreamName":"STREAM","ShardId":"shardId--1","ShardIteratorType":"LATEST"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-99999999999999999999","ShardIteratorType":"LATEST"}`,
		`{"StreamName":"STREAM","ShardId":"length","ShardIteratorType":"LATEST"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"AT_SEQUENCE_NUMBER"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"AT_SEQUENCE_NUMBER",`+
			`"StartingSequenceNumber":"-1"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"AFTER_SEQUENCE_NUMBER",`+
			`"StartingSequenceNumber":"`+many+`"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP",`+
			`"Timestamp":"soon"}`,
		`{"StreamName":"STREAM","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP"}`)
	json(kinesis.ServiceID, "Kinesis_20131202.GetRecords", "{}", `{"ShardIterator":""}`, `{"ShardIterator":"AAAA"}`,
		`{"ShardIterator":"AAAAAAAAAAE="}`, `{"ShardIterator":"`+strings.Repeat("A", 600)+`"}`,
		`{"ShardIterator":7,"Limit":-1}`)
	json(kinesis.ServiceID, "Kinesis_20131202.SplitShard",
		`{"StreamName":"STREAM","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"-1"}`,
		`{"StreamName":"STREAM","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"`+many+`"}`,
		`{"StreamName":"STREAM","ShardToSplit":"constructor","NewStartingHashKey":"1"}`)
	json(kinesis.ServiceID, "Kinesis_20131202.MergeShards",
		`{"StreamName":"STREAM","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000000"}`)
	json(kinesis.ServiceID, "Kinesis_20131202.DescribeStream",
		`{"StreamName":"STREAM","Limit":0}`, `{"StreamName":"STREAM","ExclusiveStartShardId":"a b"}`)
	json(kinesis.ServiceID, "Kinesis_20131202.NoSuchOperation", "{}")
	json(kinesis.ServiceID, "length", "{}")

	json(dynamodb.ServiceID, "DynamoDB_20120810.PutItem", "null", "{", deep, "{}", `{"TableName":"TABLE"}`,
		`{"TableName":"TABLE","Item":null}`, `{"TableName":"TABLE","Item":{"session_id":{"S":null}}}`,
		`{"TableName":"TABLE","Item":{"session_id":{"S":"a","N":"1"}}}`,
		`{"TableName":"TABLE","Item":{"session_id":{"N":"1e999"}}}`, `{"TableName":"TABLE","Item":{"session_id":{}}}`,
		`{"TableName":"TABLE","Item":{"session_id":{"S":""}}}`, `{"TableName":"__proto__","Item":{}}`,
		`{"TableName":"TABLE","Item":{"session_id":{"S":"a"}},"ConditionExpression":"`+strings.Repeat("(", 3000)+`"}`,
		`{"TableName":"TABLE","Item":{"session_id":{"S":"a"}},"ConditionExpression":":a = :b"}`)
	json(dynamodb.ServiceID, "DynamoDB_20120810.Scan", `{"TableName":"TABLE","Limit":-1}`,
		`{"TableName":"TABLE","ExclusiveStartKey":{"session_id":null}}`, `{"TableName":"TABLE","Segment":5}`)
	json(dynamodb.ServiceID, "DynamoDB_20120810.NoSuchOperation", "{}")
	json(glue.ServiceID, "AWSGlue.StartJobRun", "null", "{", deep, "{}", `{"JobName":7}`, `{"JobName":"../x"}`)
	json(glue.ServiceID, "AWSGlue.GetJobRun", `{"JobName":"none","RunId":"../../x"}`)

	http := func(service, method, path, body string, headers map[string]string) {
		all = append(all, malformed{service: service, method: method, path: path, body: body, headers: headers,
			name: method + " " + path[:min(40, len(path))]})
	}
	http(s3.ServiceID, "GET", "/BUCKET/x?versionId="+many, "", nil)
	http(s3.ServiceID, "POST", "/BUCKET?delete", "<Delete><Object>", nil)
	http(s3.ServiceID, "GET", "/BUCKET?list-type=2&max-keys=-1&continuation-token=!", "", nil)
	http(s3.ServiceID, "PUT", "/BUCKET/x?partNumber=0&uploadId=none", "a", nil)
	http(s3.ServiceID, "BREW", "/BUCKET", "", nil)
	http(lambda.ServiceID, "POST", "/2015-03-31/functions/none/invocations", "{", nil)
	http(lambda.ServiceID, "POST", "/2015-03-31/functions/..%2f..%2fx/invocations", "{}", nil)
	http(lambda.ServiceID, "POST", "/2015-03-31/functions/"+many+"/invocations", deep,
		map[string]string{"X-Amz-Invocation-Type": "Never"})
	http(autoscaling.ServiceID, "POST", "/", "Action=Never&Version=1", nil)
	http(autoscaling.ServiceID, "POST", "/", "Action=%zz", nil)

	const post = "POST / HTTP/1.1\r\nHost: HOST\r\n"
	for _, service := range services {
		for name, raw := range map[string]string{
			"no HTTP":                  "\x16\x03\x01\x02\x00\x01\x00",
			"half a request":           post + "Content-Length: 1000\r\n\r\nhalf",
			"a length below zero":      post + "Content-Length: -1\r\n\r\n",
			"two lengths":              post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
			"a chunk without an end":   post + "Transfer-Encoding: chunked\r\n\r\nffffffffff\r\na",
			"a header of 100 KB":       post + "X: " + strings.Repeat("x", 100_000) + "\r\n\r\n",
			"a header without an end":  post + "Authorization",
			"an odd login":             post + "Authorization: AWS4-HMAC-SHA256 =,=\r\nContent-Length: 2\r\n\r\n{}",
			"a version of the future":  "GET / HTTP/9.9\r\nHost: HOST\r\n\r\n",
			"an address in the target": "GET http://[::1 HTTP/1.1\r\nHost: HOST\r\n\r\n",
		} {
			all = append(all, malformed{service: service, name: name, raw: raw})
		}
	}
	return all
}

// services that a run serves by HTTP.
var services = []string{kinesis.ServiceID, dynamodb.ServiceID, s3.ServiceID, lambda.ServiceID, glue.ServiceID,
	autoscaling.ServiceID}

// badRequests: each is answered as the client's mistake, and the load does not notice.
func badRequests() disturbance {
	return disturbance{"malformed requests", fmt.Sprintf("%d to the engines, while events arrive",
		len(malformedRequests())),
		func(ctx context.Context, r *run, _ *rand.Rand) error {
			var problems []error
			for _, m := range malformedRequests() {
				if err := r.ask(ctx, m); err != nil {
					problems = append(problems, fmt.Errorf("%s: %s: %w", m.service, m.name, err))
				}
				if ctx.Err() != nil || !r.alive() || len(problems) > 5 {
					break
				}
			}
			return errors.Join(problems...)
		}}
}

// answerWithin bounds one answer.
const answerWithin = 10 * time.Second

// ask sends a malformed request. An answer that blames the server, none at all, and a server that
// is gone are wrong.
func (r *run) ask(ctx context.Context, m malformed) error {
	endpoint, err := url.Parse(r.endpoints[outputs.EndpointOf(m.service)])
	if err != nil {
		return err
	}
	connection, err := (&net.Dialer{Timeout: answerWithin}).DialContext(ctx, "tcp", endpoint.Host)
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		return err
	}
	if _, err := io.WriteString(connection, m.text(endpoint.Host, r)); err != nil && m.raw == "" {
		return err
	}
	if m.raw != "" { // whoever gets no whole request may hang up, or wait for the rest
		return errors.Join(connection.(*net.TCPConn).CloseWrite())
	}
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 200))
	if err != nil {
		return fmt.Errorf("half an answer: %w", err)
	}
	// An error that nobody foresaw is one request's.
	contained := answer.StatusCode == http.StatusInternalServerError && bytes.Contains(said, []byte("Internal"))
	if (answer.StatusCode < 400 || answer.StatusCode >= 500) && !contained {
		return fmt.Errorf("the answer is %s: %s", answer.Status, said)
	}
	return nil
}

// text of the request, with a login that the run takes.
func (m malformed) text(host string, r *run) string {
	in := strings.NewReplacer("STREAM", r.to.Stream, "TABLE", r.to.Table, "BUCKET", r.to.Bucket, "HOST", host)
	if m.raw != "" {
		return in.Replace(m.raw)
	}
	headers := map[string]string{
		"Host": host, "X-Amz-Date": "20260101T000000Z", "Connection": "close",
		"Authorization": r.login(m.service),
	}
	method, path := m.method, in.Replace(m.path)
	if m.target != "" {
		method, path = http.MethodPost, "/"
		headers["X-Amz-Target"], headers["Content-Type"] = m.target, "application/x-amz-json-1.1"
		if m.service == dynamodb.ServiceID {
			headers["Content-Type"] = "application/x-amz-json-1.0"
		}
	}
	for name, value := range m.headers {
		headers[name] = value
	}
	body := in.Replace(m.body)
	headers["Content-Length"] = fmt.Sprint(len(body))
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\n", method, path)
	for name, value := range headers {
		fmt.Fprintf(&text, "%s: %s\r\n", name, value)
	}
	return text.String() + "\r\n" + body
}

// login is a header by which an engine knows the run's own.
func (r *run) login(service string) string {
	scope := strings.Join([]string{r.endpoints[outputs.AccessKeyID], "20260101", r.endpoints[outputs.Region],
		strings.ReplaceAll(strings.ToLower(service), " ", ""), "aws4_request"}, "/")
	return "AWS4-HMAC-SHA256 Credential=" + scope + ", SignedHeaders=host;x-amz-date, Signature=" +
		strings.Repeat("0", 64)
}
