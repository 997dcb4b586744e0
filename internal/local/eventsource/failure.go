package eventsource

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"

	"diecast/internal/archive"
)

// Why a batch was given up.
const (
	retryAttemptsExhausted = "RetryAttemptsExhausted"
	recordAgeExceeded      = "RecordAgeExceeded"
)

// milliseconds is the form of time in a failure record.
const milliseconds = "2006-01-02T15:04:05.000Z"

// failureRecord is what Lambda puts into an S3 on-failure destination (Lambda Developer Guide,
// "Retain discarded batch records for a Kinesis Data Streams event source in Lambda").
type failureRecord struct {
	RequestContext struct {
		RequestID              string `json:"requestId"`
		FunctionARN            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	// ResponseContext is left out where the function never ran; the guide does not tell what stands
	// there then.
	ResponseContext  *responseContext `json:"responseContext,omitempty"`
	Version          string           `json:"version"`
	Timestamp        string           `json:"timestamp"`
	KinesisBatchInfo struct {
		ShardID                         string `json:"shardId"`
		StartSequenceNumber             string `json:"startSequenceNumber"`
		EndSequenceNumber               string `json:"endSequenceNumber"`
		ApproximateArrivalOfFirstRecord string `json:"approximateArrivalOfFirstRecord"`
		ApproximateArrivalOfLastRecord  string `json:"approximateArrivalOfLastRecord"`
		BatchSize                       int    `json:"batchSize"`
		StreamARN                       string `json:"streamArn"`
	} `json:"KinesisBatchInfo"`
	// Payload is the whole event, as a text of JSON.
	Payload string `json:"payload"`
}

type responseContext struct {
	StatusCode      int     `json:"statusCode"`
	ExecutedVersion string  `json:"executedVersion"`
	FunctionError   *string `json:"functionError"` // null where the function reported failed items
}

func (s *shard) failureRecord(b batch, condition string, now time.Time) failureRecord {
	first, last := b.records[0], b.records[len(b.records)-1]
	record := failureRecord{Version: "1.0", Timestamp: now.UTC().Format(milliseconds),
		Payload: string(payload(b.records))}
	record.RequestContext.RequestID = uuid.NewString()
	if b.answer != nil {
		record.RequestContext.RequestID = b.answer.RequestID
		record.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: "$LATEST"}
		if b.answer.FunctionError != "" {
			record.ResponseContext.FunctionError = &b.answer.FunctionError
		}
	}
	record.RequestContext.FunctionARN = s.poller.mapping.FunctionARN
	record.RequestContext.Condition = condition
	record.RequestContext.ApproximateInvokeCount = b.invocations
	info := &record.KinesisBatchInfo
	info.ShardID, info.StreamARN, info.BatchSize = s.id, s.poller.mapping.StreamARN, len(b.records)
	info.StartSequenceNumber, info.EndSequenceNumber = first.sequence, last.sequence
	info.ApproximateArrivalOfFirstRecord = first.arrived.UTC().Format(milliseconds)
	info.ApproximateArrivalOfLastRecord = last.arrived.UTC().Format(milliseconds)
	return record
}

// failureKey is aws/lambda/<mapping>/<shard>/yyyy/MM/dd/yyyy-MM-ddTHH.mm.ss-<uuid>, of the same
// chapter.
func (s *shard) failureKey(now time.Time) string {
	return archive.Failures + fmt.Sprintf("%s/%s/%s-%s", s.poller.mapping.UUID, s.id,
		now.UTC().Format("2006/01/02/2006-01-02T15.04.05"), uuid.NewString())
}

// discard gives a batch up: it is kept in the bucket, which is asked again for keepFor whatever it
// answers, as who has taken it away may bring it back. It returns false when the context ended
// before that, or ends the poller when the bucket stays away; the records are still in the stream
// then.
func (s *shard) discard(ctx context.Context, b batch, condition string) bool {
	p := s.poller
	logger := p.options.Logger.With(slog.String("function", p.function), slog.String("shard", s.id),
		slog.String("condition", condition),
		slog.Int("records", len(b.records)), slog.String("first", b.records[0].sequence))
	if p.mapping.FailureBucket == "" {
		logger.Error("records are lost: the mapping has no destination for failures")
		p.counts.discarded.Add(int64(len(b.records)))
		return true
	}
	now := time.Now()
	body, err := json.Marshal(s.failureRecord(b, condition, now))
	if err != nil {
		panic(err) // texts and numbers always marshal
	}
	key := s.failureKey(now)
	for attempt := 0; ; attempt++ {
		put, cancel := context.WithTimeout(context.WithoutCancel(ctx), putTimeout)
		_, err := p.options.Bucket.PutObject(put, &s3.PutObjectInput{
			Bucket: &p.mapping.FailureBucket, Key: &key, Body: bytes.NewReader(body),
			ContentType: aws.String("application/json"),
		})
		cancel()
		if err == nil {
			logger.Warn("records are given up", slog.String("bucket", p.mapping.FailureBucket), slog.String("key", key))
			p.counts.discarded.Add(int64(len(b.records)))
			p.counts.kept(condition, len(b.records))
			return true
		}
		if time.Since(now) >= keepFor {
			p.giveUp(fmt.Errorf("given-up records of shard %s cannot be kept in s3://%s/%s, attempt %d, and stay in "+
				"stream %s: %w", s.id, p.mapping.FailureBucket, key, attempt+1, p.stream, err))
			return false
		}
		logger.Error("cannot keep given-up records; trying again", slog.String("bucket", p.mapping.FailureBucket),
			slog.Any("error", err))
		if !p.pause(ctx, attempt) {
			return false
		}
	}
}
