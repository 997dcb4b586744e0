package demonstration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	tabletypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/archive"
	"diecast/internal/erroroutput"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
)

const (
	// glance is the pause between two looks at the sample, and bounds how exact its latencies are.
	glance = 50 * time.Millisecond
	// keysOfOneRead is how many rows one request gives (DynamoDB API Reference, BatchGetItem).
	keysOfOneRead = 100
)

// sample notes when the shop can first read each event of the sample, or a newer one of its
// session, until the context ends.
func (r *run) sample(ctx context.Context) error {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		if _, err := r.readPositions(ctx, r.oldestAwaited()); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// oldestAwaited are sessions of the sample, as many as one read gives.
func (r *run) oldestAwaited() []string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var sessions []string
	for _, one := range r.awaited {
		if len(sessions) == keysOfOneRead {
			break
		}
		if !slices.Contains(sessions, one.event.SessionID) {
			sessions = append(sessions, one.event.SessionID)
		}
	}
	return sessions
}

// readRows reads the rows of all sessions that have an event which the shop could not read yet.
func (r *run) readRows(ctx context.Context) error {
	r.mutex.Lock()
	var left []string
	for session, events := range r.bySession {
		if slices.ContainsFunc(events, func(one *sent) bool { return one.taken && !one.readable }) {
			left = append(left, session)
		}
	}
	r.mutex.Unlock()
	for some := range slices.Chunk(left, keysOfOneRead) {
		for len(some) > 0 {
			var err error
			if some, err = r.readPositions(ctx, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPositions reads how far these sessions have come, and gives those that it could not read yet.
func (r *run) readPositions(ctx context.Context, sessions []string) (left []string, err error) {
	if len(sessions) == 0 {
		return nil, nil
	}
	asked := tabletypes.KeysAndAttributes{
		ProjectionExpression: aws.String(row.SessionID + ", " + row.EventTime), ConsistentRead: aws.Bool(true),
	}
	for _, session := range sessions {
		asked.Keys = append(asked.Keys, map[string]tabletypes.AttributeValue{
			row.SessionID: &tabletypes.AttributeValueMemberS{Value: session},
		})
	}
	answer, err := r.target.DynamoDB.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
		RequestItems: map[string]tabletypes.KeysAndAttributes{r.target.Table: asked},
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", r.target.Table, err)
	}
	now := time.Now()
	for _, item := range answer.Responses[r.target.Table] {
		if err := r.reached(item, now); err != nil {
			return nil, err
		}
	}
	for _, key := range answer.UnprocessedKeys[r.target.Table].Keys {
		left = append(left, key[row.SessionID].(*tabletypes.AttributeValueMemberS).Value)
	}
	return left, nil
}

// reached counts the events of a session up to that of its row: they were readable, or overtaken by
// a newer one.
func (r *run) reached(item map[string]tabletypes.AttributeValue, now time.Time) error {
	session, upTo, err := row.ReadPosition(item)
	if err != nil {
		return fmt.Errorf("table %s: %w", r.target.Table, err)
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, one := range r.bySession[session] {
		if !one.taken || one.readable || one.event.Time.After(upTo) {
			continue
		}
		one.readable = true
		r.report.Delivered++
		if one.sample {
			one.readAt = now
		}
	}
	r.awaited = slices.DeleteFunc(r.awaited, func(one *sent) bool { return one.readable })
	return nil
}

// readBucket reads the objects that it has not read yet.
func (r *run) readBucket(ctx context.Context) error {
	pages := s3.NewListObjectsV2Paginator(r.target.S3, &s3.ListObjectsV2Input{Bucket: &r.target.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("bucket %s: %w", r.target.Bucket, err)
		}
		for _, object := range page.Contents {
			if r.seen[*object.Key] {
				continue
			}
			if err := r.readObject(ctx, *object.Key); err != nil {
				return fmt.Errorf("s3://%s/%s: %w", r.target.Bucket, *object.Key, err)
			}
			r.seen[*object.Key] = true
		}
	}
	return nil
}

func (r *run) readObject(ctx context.Context, key string) error {
	object, err := r.target.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &r.target.Bucket, Key: &key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	opened, err := archive.Open(object.Body)
	if err != nil {
		return err
	}
	content, err := io.ReadAll(opened)
	if err != nil {
		return err
	}
	written := aws.ToTime(object.LastModified).Add(time.Second)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if strings.HasPrefix(key, r.target.ErrorPrefix) {
		for entry, err := range erroroutput.Read(bytes.NewReader(content)) {
			if err != nil {
				return err
			}
			r.report.Refused++
			r.report.RefusedFor[entry.Code]++
		}
		return nil
	}
	if !strings.HasPrefix(key, r.target.ArchivePrefix) {
		return nil
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		record, err := recommendation.Decode(lines.Bytes())
		if err != nil {
			return err
		}
		one, ours := r.byID[record.Event.ID]
		switch {
		case !ours:
		case one.stored:
			r.report.Duplicates++
		default:
			r.take(one)
			one.stored = true
			r.report.Archived++
			r.report.Stored = append(r.report.Stored, written.Sub(one.due))
			r.report.Rungs[record.Rung]++
			if record.Rung.Degraded() {
				r.report.Degraded++
			}
			if len(r.archived) < keptRecords {
				r.archived[record.Event.ID] = record
			}
		}
	}
	return lines.Err()
}
