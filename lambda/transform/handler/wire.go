package handler

import (
	"encoding/base64"

	"diecast/internal/quotas"
)

// The wire types of a Firehose processor. Those of aws-lambda-go always send empty partitionKeys
// and otfMetadata, and what Firehose makes of them is not documented.
// https://docs.aws.amazon.com/firehose/latest/dev/data-transformation-status-model.html

// Request is one batch of a delivery stream whose source is a Kinesis stream.
type Request struct {
	InvocationID string          `json:"invocationId"`
	StreamARN    string          `json:"sourceKinesisStreamArn"`
	Records      []RequestRecord `json:"records"`
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
	// Arrival is in milliseconds since 1970.
	Arrival int64 `json:"approximateArrivalTimestamp"`
}

// Response holds every record of the request exactly once.
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
	recordEnvelope = len(`{"recordId":"","result":"","data":""},`)
)

// size of a record in the response. Record ids are digits, so nothing in them is escaped.
func size(id, result string, data int) int { return recordEnvelope + len(id) + len(result) + data }

// encodedSize of an Ok record whose data has so many bytes before base64.
func encodedSize(id string, bytes int) int { return size(id, ok, base64.StdEncoding.EncodedLen(bytes)) }
