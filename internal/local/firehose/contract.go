package firehose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	strict "github.com/go-json-experiment/json"
	"github.com/google/uuid"
)

// event is what the processor is invoked with.
type event struct {
	InvocationID string        `json:"invocationId"`
	StreamARN    string        `json:"deliveryStreamArn"`
	SourceARN    string        `json:"sourceKinesisStreamArn"`
	Region       string        `json:"region"`
	Records      []eventRecord `json:"records"`
}

// eventRecord is a record of an event; the data are encoded as base64.
type eventRecord struct {
	RecordID string         `json:"recordId"`
	Arrival  int64          `json:"approximateArrivalTimestamp"` // milliseconds since 1970
	Data     []byte         `json:"data"`
	Source   sourceMetadata `json:"kinesisRecordMetadata"`
}

// sourceMetadata says where a record lies in the stream. The subsequence number is that within an
// aggregated record, 0 where there is none.
type sourceMetadata struct {
	SequenceNumber    string `json:"sequenceNumber"`
	SubsequenceNumber int    `json:"subsequenceNumber"`
	PartitionKey      string `json:"partitionKey"`
	ShardID           string `json:"shardId"`
	Arrival           int64  `json:"approximateArrivalTimestamp"` // milliseconds since 1970
}

func (r record) forEvent() eventRecord {
	data := r.data
	if data == nil {
		data = []byte{} // base64 of nothing, not null
	}
	return eventRecord{
		RecordID: r.id(), Arrival: r.arrival.UnixMilli(), Data: data,
		Source: sourceMetadata{SequenceNumber: r.sequence, SubsequenceNumber: r.subsequence,
			PartitionKey: r.partitionKey, ShardID: r.shard, Arrival: r.arrival.UnixMilli()},
	}
}

// request encodes one invocation; every attempt has an id of its own.
func (p *Pump) request(records []record) ([]byte, error) {
	e := event{
		InvocationID: uuid.NewString(), StreamARN: p.config.ARN, SourceARN: p.config.SourceARN, Region: p.config.Region,
		Records: make([]eventRecord, len(records)),
	}
	for i, r := range records {
		e.Records[i] = r.forEvent()
	}
	return json.Marshal(e)
}

// sizeInRequest is what a record takes of a request, with its comma, in bytes.
func (r record) sizeInRequest() int {
	data := r.data
	r.data = nil
	frame, err := json.Marshal(r.forEvent())
	if err != nil {
		panic(fmt.Sprintf("strings and numbers are always JSON: %s", err))
	}
	return len(frame) + base64.StdEncoding.EncodedLen(len(data)) + len(",")
}

// requestEnvelope is the size of a request without its records, in bytes.
func (p *Pump) requestEnvelope() int {
	empty, err := p.request(nil)
	if err != nil {
		panic(fmt.Sprintf("strings are always JSON: %s", err))
	}
	return len(empty)
}

// failure is why a record was not transformed, as the error output tells it.
type failure struct{ code, message string }

// Codes of the error output. Those of a processor's answer are final.
const (
	codeFunctionError    = "Lambda.FunctionError"
	codeTimedOut         = "Lambda.FunctionRequestTimedOut"
	codeMalformed        = "Lambda.JsonProcessingException"
	codeMissing          = "Lambda.MissingRecordId"
	codeDoubled          = "Lambda.DuplicatedRecordId"
	codeProcessingFailed = "Lambda.ProcessingFailedStatus"
	codeInvokeFailed     = "Lambda.InternalServerError"
)

// invokeCodes are the error codes of Lambda's Invoke that have a code of their own in the error
// output.
var invokeCodes = map[string]string{
	"TooManyRequestsException":  "Lambda.InvokeLimitExceeded",
	"ResourceNotFoundException": "Lambda.ResourceNotFound",
	"AccessDeniedException":     "Lambda.InvokeAccessDenied",
}

var (
	missingID = failure{codeMissing,
		"the processor's answer lacks this record's id; it must hold every id of the request exactly once"}
	missingData      = failure{codeMissing, "the processor's answer is Ok for this record but has no data"}
	doubledID        = failure{codeDoubled, "the processor's answer holds this record's id more than once"}
	statusFailed     = failure{codeProcessingFailed, "the processor's answer is ProcessingFailed for this record"}
	unknownResult    = failure{codeMalformed, "the result of this record is none of Ok, Dropped and ProcessingFailed"}
	undecodableData  = failure{codeMalformed, "the data of this record are not base64"}
	unreadableAnswer = failure{codeMalformed,
		"the processor's answer is not a JSON object with a list of records that have recordId, result and data"}
)

// answered is one record of the processor's answer.
type answered struct {
	RecordID string  `json:"recordId"`
	Result   string  `json:"result"`
	Data     *string `json:"data"`
}

// answer of the processor, by record id.
type answer map[string][]answered

// decodeAnswer reads an answer as JSON with names compared exactly; names that are not known are
// ignored.
func decodeAnswer(payload []byte) (answer, error) {
	var document struct {
		Records *[]*answered `json:"records"`
	}
	if err := strict.Unmarshal(payload, &document); err != nil {
		return nil, err
	}
	if document.Records == nil {
		return nil, errors.New("there are no records")
	}
	byID := make(answer, len(*document.Records))
	for _, record := range *document.Records {
		if record == nil {
			return nil, errors.New("a record is null")
		}
		byID[record.RecordID] = append(byID[record.RecordID], *record)
	}
	return byID, nil
}

// verdict is what the answer means for a record.
func (a answer) verdict(id string) (result, []byte, failure) {
	switch candidates := a[id]; {
	case len(candidates) == 0:
		return failed, nil, missingID
	case len(candidates) > 1:
		return failed, nil, doubledID
	default:
		return candidates[0].verdict()
	}
}

func (r answered) verdict() (result, []byte, failure) {
	switch r.Result {
	case "Dropped":
		return dropped, nil, failure{}
	case "ProcessingFailed":
		return failed, nil, statusFailed
	case "Ok":
	default:
		return failed, nil, unknownResult
	}
	if r.Data == nil || *r.Data == "" {
		// Nothing to deliver is not the same as Dropped: delivered, the record would be lost
		// without a trace.
		return failed, nil, missingData
	}
	data, err := base64.StdEncoding.Strict().DecodeString(*r.Data)
	if err != nil || strings.ContainsAny(*r.Data, "\r\n") { // the decoder skips line breaks
		return failed, nil, undecodableData
	}
	return delivered, data, failure{}
}

// strangers counts the answered ids that are not among the records'.
func (a answer) strangers(records []record) int {
	known := make(map[string]bool, len(records))
	for _, r := range records {
		known[r.id()] = true
	}
	count := 0
	for id, candidates := range a {
		if !known[id] {
			count += len(candidates)
		}
	}
	return count
}

// errorLine is one line of the error output, as delivery streams write it; internal/erroroutput
// reads it.
type errorLine struct {
	RawData       []byte `json:"rawData"`
	ErrorCode     string `json:"errorCode"`
	ErrorMessage  string `json:"errorMessage"`
	Attempts      int    `json:"attemptsMade"`
	Arrival       int64  `json:"arrivalTimestamp"`       // milliseconds since 1970
	AttemptEnding int64  `json:"attemptEndingTimestamp"` // milliseconds since 1970
	FunctionARN   string `json:"lambdaARN"`
}

func (p *Pump) errorLine(o outcome) ([]byte, error) {
	data := o.data
	if data == nil {
		data = []byte{}
	}
	line, err := json.Marshal(errorLine{
		RawData: data, ErrorCode: o.code, ErrorMessage: o.message, Attempts: o.attempts, Arrival: o.arrival.UnixMilli(),
		AttemptEnding: o.ended.UnixMilli(), FunctionARN: p.config.Processor.FunctionARN,
	})
	return append(line, '\n'), err
}
