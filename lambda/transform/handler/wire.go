package handler

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"diecast/internal/quotas"
	"diecast/lambda/internal/tolerant"
)

// The wire types of a Firehose processor. Those of aws-lambda-go always send empty partitionKeys
// and otfMetadata, and what Firehose makes of them is not documented.
// https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html

// Request is one batch of a delivery stream whose source is a Kinesis stream.
type Request struct {
	InvocationID tolerant.Text                   `json:"invocationId"`
	StreamARN    tolerant.Text                   `json:"sourceKinesisStreamArn"`
	Records      []tolerant.Value[RequestRecord] `json:"records"`
}

// RequestRecord is one record of the stream.
type RequestRecord struct {
	RecordID string `json:"recordId"`
	// Data is base64; it is decoded record by record, so that one bad text does not fail its
	// neighbours.
	Data   string         `json:"data"`
	Source SourceMetadata `json:"kinesisRecordMetadata"`
}

// SourceMetadata says where the record lay in the stream.
type SourceMetadata struct {
	ShardID        string `json:"shardId"`
	SequenceNumber string `json:"sequenceNumber"`
	// Subsequence is the record's number within an aggregate, which Firehose has split.
	Subsequence tolerant.Value[tolerant.Whole] `json:"subsequenceNumber"`
	// Arrival is in milliseconds since 1970.
	Arrival int64 `json:"approximateArrivalTimestamp"`
}

// Response holds every record of the request exactly once, but for those whose id cannot be read,
// or for which there is no room: Firehose puts what is not answered into the error output.
type Response struct {
	Records []ResponseRecord `json:"records"`
}

// ResponseRecord is the result of one record.
type ResponseRecord struct {
	RecordID string `json:"recordId"`
	Result   string `json:"result"`
	// Data is base64: the output of an Ok record, the original of a ProcessingFailed one.
	Data string `json:"data"`
}

// Results that are used. Nothing is Dropped: an event is either answered or refused.
const (
	ok               = "Ok"
	processingFailed = "ProcessingFailed"
)

// maxResponse bounds a response, in bytes.
const maxResponse = quotas.LambdaPayload

const (
	envelope       = len(`{"records":[]}`)
	recordEnvelope = len(`{"recordId":,"result":"","data":""},`)
)

// size of a record in the response.
func size(id, result string, data int) int { return recordEnvelope + quoted(id) + len(result) + data }

// quoted is the size of a text as JSON. Ids and data of records that Firehose did not make can hold
// what must be escaped.
func quoted(text string) int {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(fmt.Sprintf("a text is always JSON: %s", err))
	}
	return len(encoded)
}

// encodedSize of an Ok record whose data has so many bytes before base64.
func encodedSize(id string, bytes int) int { return size(id, ok, base64.StdEncoding.EncodedLen(bytes)) }
