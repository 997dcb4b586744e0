package handler

import (
	"math"
	"strings"
	"time"

	"diecast/internal/aggregation"
	"diecast/lambda/internal/recommender"
	"diecast/lambda/internal/tolerant"
)

// The wire types of an event source mapping for a Kinesis stream, as far as they are read. Those of
// aws-lambda-go fail the whole batch where one field of one record is odd.
// https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html

// Batch is one invocation.
type Batch struct {
	Records []tolerant.Value[Record] `json:"Records"`
}

// Record is one record of the stream.
type Record struct {
	// EventID is the shard's id, a colon and the sequence number.
	EventID   string     `json:"eventID"`
	StreamARN string     `json:"eventSourceARN"`
	Kinesis   RecordData `json:"kinesis"`
}

// RecordData is what the producer put, and where it lies.
type RecordData struct {
	SequenceNumber string `json:"sequenceNumber"`
	Data           []byte `json:"data"`
	// Arrival is in seconds since 1970, to the millisecond.
	Arrival float64 `json:"approximateArrivalTimestamp"`
}

// latestArrival keeps what is no time at all from becoming one by overflow, in seconds.
const latestArrival = 1e12

func (d RecordData) arrived() time.Time {
	if math.Abs(d.Arrival) > latestArrival {
		return time.Time{}
	}
	return time.UnixMilli(int64(math.Round(d.Arrival * 1000)))
}

// userRecords are what a producer put as one record, each with its place in the stream: several
// where it is an aggregate, which a mapping, unlike Firehose, does not split.
func (r Record) userRecords() ([][]byte, []recommender.Source, error) {
	shard, _, _ := strings.Cut(r.EventID, ":")
	source := recommender.Source{
		StreamARN: r.StreamARN, ShardID: shard, SequenceNumber: r.Kinesis.SequenceNumber, Arrival: r.Kinesis.arrived(),
	}
	if !aggregation.Is(r.Kinesis.Data) {
		return [][]byte{r.Kinesis.Data}, []recommender.Source{source}, nil
	}
	split, err := aggregation.Split(r.Kinesis.Data)
	if err != nil {
		return nil, nil, err
	}
	payloads, sources := make([][]byte, len(split)), make([]recommender.Source, len(split))
	for i, record := range split {
		payloads[i], sources[i] = record.Data, source
		sources[i].Subsequence = uint64(i)
	}
	return payloads, sources, nil
}
