package demonstration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
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

// glance is the pause between two looks at the table; it bounds how exact the latencies are.
const glance = 20 * time.Millisecond

// watchTable notes when each session's row reaches each event, until the context ends.
func (r *run) watchTable(ctx context.Context) error {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		if err := r.readTable(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *run) readTable(ctx context.Context) error {
	pages := dynamodb.NewScanPaginator(r.target.DynamoDB, &dynamodb.ScanInput{
		TableName: &r.target.Table, ProjectionExpression: aws.String(row.SessionID + ", " + row.EventTime),
		ConsistentRead: aws.Bool(true),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("table %s: %w", r.target.Table, err)
		}
		now := time.Now()
		for _, item := range page.Items {
			if err := r.reached(item, now); err != nil {
				return err
			}
		}
	}
	return nil
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
		if !one.readable && !one.event.Time.After(upTo) {
			one.readable = true
			r.report.Delivered++
			r.report.Readable = append(r.report.Readable, now.Sub(one.at))
		}
	}
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
	now := time.Now()
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
			one.stored = true
			r.report.Archived++
			r.report.Stored = append(r.report.Stored, now.Sub(one.at))
			r.archived[record.Event.ID] = record
		}
	}
	return lines.Err()
}
