package eventsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	strict "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// record is one record of the stream, as the function gets it.
type record struct {
	sequence string
	arrived  time.Time
	wire     json.RawMessage
}

// eventFrame is the size of an event around its records.
const eventFrame = len(`{"Records":[]}`)

// event has the fields in Lambda's order.
type event struct {
	Records []json.RawMessage `json:"Records"`
}

type wireRecord struct {
	Kinesis           wireData `json:"kinesis"`
	EventSource       string   `json:"eventSource"`
	EventVersion      string   `json:"eventVersion"`
	EventID           string   `json:"eventID"`
	EventName         string   `json:"eventName"`
	InvokeIdentityARN string   `json:"invokeIdentityArn"`
	Region            string   `json:"awsRegion"`
	EventSourceARN    string   `json:"eventSourceARN"`
}

type wireData struct {
	SchemaVersion  string  `json:"kinesisSchemaVersion"`
	PartitionKey   string  `json:"partitionKey"`
	SequenceNumber string  `json:"sequenceNumber"`
	Data           []byte  `json:"data"`
	Arrival        float64 `json:"approximateArrivalTimestamp"` // seconds since 1970, to the millisecond
}

func (p *Poller) newRecord(shard string, r types.Record) record {
	arrived := aws.ToTime(r.ApproximateArrivalTimestamp)
	data := r.Data
	if data == nil {
		data = []byte{} // nil would be null
	}
	wire, err := json.Marshal(wireRecord{
		Kinesis: wireData{
			SchemaVersion: "1.0", PartitionKey: *r.PartitionKey, SequenceNumber: *r.SequenceNumber, Data: data,
			Arrival: float64(arrived.UnixMilli()) / 1000,
		},
		EventSource: "aws:kinesis", EventVersion: "1.0", EventID: shard + ":" + *r.SequenceNumber,
		EventName:         "aws:kinesis:record",
		InvokeIdentityARN: p.mapping.RoleARN, Region: p.region, EventSourceARN: p.mapping.StreamARN,
	})
	if err != nil {
		panic(err) // texts, bytes and a number always marshal
	}
	return record{sequence: *r.SequenceNumber, arrived: arrived, wire: wire}
}

// payload is the event of a batch.
func payload(records []record) []byte {
	e := event{Records: make([]json.RawMessage, len(records))}
	for n, r := range records {
		e.Records[n] = r.wire
	}
	encoded, err := json.Marshal(e)
	if err != nil {
		panic(err) // every element was made by Marshal
	}
	return encoded
}

// firstFailure is the index of the first record that the function did not handle: of the lowest
// sequence number that it reports; 0 where the answer is no report, for then the whole batch
// failed; len(records) where all are handled. The reason says what is wrong with the answer.
//
// A report is JSON, with names as the guide spells them and none of them twice. It says that all
// are handled where it is null, an empty object, or has a null or empty list of failures. The guide
// leaves open what any other answer says, as a text, a list, an object of other names or nothing at
// all: none says that the records were handled (docs/decisions/0071-non-answers.md).
func firstFailure(answer []byte, records []record) (index int, reason error) {
	if len(answer) > MaxPayload {
		return 0, fmt.Errorf("it has %d bytes, %d are allowed", len(answer), MaxPayload)
	}
	var fields map[string]jsontext.Value
	if err := strict.Unmarshal(answer, &fields); err != nil {
		return 0, fmt.Errorf("it is no JSON object: %w", err)
	}
	if len(fields) == 0 {
		return len(records), nil
	}
	list, present := fields["batchItemFailures"]
	if !present {
		return 0, errors.New("it is an object without batchItemFailures")
	}
	var failures []*struct {
		Item *string `json:"itemIdentifier"`
	}
	if err := strict.Unmarshal(list, &failures); err != nil {
		return 0, fmt.Errorf("batchItemFailures: %w", err)
	}
	positions := make(map[string]int, len(records))
	for n, r := range records {
		positions[r.sequence] = n
	}
	index = len(records)
	for _, failure := range failures {
		if failure == nil || failure.Item == nil || *failure.Item == "" {
			return 0, errors.New("batchItemFailures holds an element without an itemIdentifier")
		}
		position, known := positions[*failure.Item]
		if !known {
			return 0, fmt.Errorf("batchItemFailures names %q, which is no sequence number of the batch", *failure.Item)
		}
		index = min(index, position)
	}
	return index, nil
}
