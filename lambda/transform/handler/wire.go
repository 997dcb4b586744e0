package handler

import (
	"encoding/base64"
	stdjson "encoding/json"

	"github.com/go-json-experiment/json"

	"diecast/internal/quotas"
	"diecast/internal/strictjson"
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

// plainRequest is a Request in which everything is as Firehose makes it: every one but those that
// somebody else made.
type plainRequest struct {
	InvocationID string `json:"invocationId"`
	StreamARN    string `json:"sourceKinesisStreamArn"`
	Records      []struct {
		RecordID string `json:"recordId"`
		Data     string `json:"data"`
		Source   struct {
			ShardID        string `json:"shardId"`
			SequenceNumber string `json:"sequenceNumber"`
			Subsequence    uint64 `json:"subsequenceNumber"`
			Arrival        int64  `json:"approximateArrivalTimestamp"`
		} `json:"kinesisRecordMetadata"`
	} `json:"records"`
}

// DecodeRequest reads a batch as encoding/json reads a Request, whose error it has, several times
// as fast: one in which every record can be read needs no Value for each.
func DecodeRequest(payload []byte) (Request, error) {
	var plain plainRequest
	if json.Unmarshal(payload, &plain, json.MatchCaseInsensitiveNames(true)) != nil {
		var request Request
		err := stdjson.Unmarshal(payload, &request)
		return request, err
	}
	request := Request{InvocationID: tolerant.Text(plain.InvocationID), StreamARN: tolerant.Text(plain.StreamARN)}
	if plain.Records != nil {
		request.Records = make([]tolerant.Value[RequestRecord], len(plain.Records))
	}
	for i, record := range plain.Records {
		request.Records[i].Read = RequestRecord{RecordID: record.RecordID, Data: record.Data, Source: SourceMetadata{
			ShardID: record.Source.ShardID, SequenceNumber: record.Source.SequenceNumber,
			Subsequence: tolerant.Value[tolerant.Whole]{Read: tolerant.Whole(record.Source.Subsequence)},
			Arrival:     record.Source.Arrival,
		}}
	}
	return request, nil
}

// Response holds every record of the request exactly once, but for those whose id cannot be read,
// or for which there is no room: Firehose puts what is not answered into the error output.
type Response struct {
	Records []ResponseRecord
}

// Encode writes the response as the JSON {"records":[{"recordId":...,"result":...,"data":...}]}, in
// as many bytes as size reckons with.
func (r Response) Encode() []byte {
	room := envelope
	for _, record := range r.Records {
		data := base64.StdEncoding.EncodedLen(len(record.Line)) + len(record.Original) + len(`""`)
		room += recordEnvelope + len(record.RecordID) + len(record.Result) + data
	}
	buffer := append(make([]byte, 0, room), `{"records":[`...)
	for i, record := range r.Records {
		if i > 0 {
			buffer = append(buffer, ',')
		}
		buffer = append(buffer, `{"recordId":`...)
		buffer = strictjson.AppendString(buffer, record.RecordID)
		buffer = append(buffer, `,"result":`...)
		buffer = strictjson.AppendString(buffer, record.Result)
		buffer = append(buffer, `,"data":`...)
		if record.Result == ok {
			buffer = append(base64.StdEncoding.AppendEncode(append(buffer, '"'), record.Line), `"}`...)
			continue
		}
		buffer = append(strictjson.AppendString(buffer, record.Original), '}')
	}
	return append(buffer, "]}"...)
}

// ResponseRecord is the result of one record.
type ResponseRecord struct {
	RecordID string
	Result   string
	// Line is the output of an Ok record; the response has its base64.
	Line []byte
	// Original is the data of a ProcessingFailed record, as it came: base64, if its sender made it
	// so.
	Original string
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
func quoted(text string) int { return len(strictjson.AppendString(nil, text)) }

// encodedSize of an Ok record whose data has so many bytes before base64.
func encodedSize(id string, bytes int) int { return size(id, ok, base64.StdEncoding.EncodedLen(bytes)) }
