package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"diecast/internal/activity"
	"diecast/internal/archive"
	"diecast/internal/deployment"
	"diecast/internal/deployment/outputs"
	"diecast/internal/erroroutput"
	"diecast/internal/local/demonstration"
	"diecast/internal/recommendation/row"
	"diecast/internal/wait"
	"diecast/test/faults/audit"
)

// view is what is seen of a run from outside: its stream, its bucket and its table.
type view struct {
	deployed  *deployment.Deployment
	endpoints outputs.Endpoints
	to        demonstration.Target
	ledger    *audit.Ledger
	// read are the objects that were read; behind is where each shard was read to.
	read   map[string]bool
	behind map[string]string
}

// open reads a run's outputs, and sees nothing yet.
func (v *view) open(ctx context.Context, file string) error {
	deployed, err := deployment.Read(file)
	if err != nil {
		return err
	}
	to, err := demonstration.TargetOf(ctx, deployed)
	if err != nil {
		return err
	}
	models, err := newCatalogue()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	told, err := outputs.Decode(text)
	if err != nil {
		return err
	}
	*v = view{deployed: deployed, endpoints: told.Endpoints, to: to, ledger: &audit.Ledger{Check: models.check},
		read:   map[string]bool{},
		behind: map[string]string{}}
	return nil
}

// look reads what is new. The stream comes last: whatever was found before must be in it.
func (v *view) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	if err := v.readBucket(ctx, v.readObject); err != nil {
		return err
	}
	if err := v.readTable(ctx); err != nil {
		return err
	}
	return v.readStream(ctx)
}

// lookWithin bounds one look: that at a hundred thousand events takes half of it.
const lookWithin = time.Minute

// readBucket gives each object that was not read yet.
func (v *view) readBucket(ctx context.Context, each func(ctx context.Context, key string) error) error {
	pages := s3.NewListObjectsV2Paginator(v.to.S3, &s3.ListObjectsV2Input{Bucket: &v.to.Bucket})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		var away *s3types.NoSuchBucket
		if errors.As(err, &away) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, object := range page.Contents {
			if err := each(ctx, *object.Key); err != nil {
				return fmt.Errorf("s3://%s/%s: %w", v.to.Bucket, *object.Key, err)
			}
		}
	}
	return nil
}

func (v *view) readObject(ctx context.Context, key string) error {
	if v.read[key] {
		return nil
	}
	content, err := v.object(ctx, key)
	if err != nil {
		return err
	}
	v.read[key] = true
	switch {
	case strings.HasPrefix(key, archive.Recommendations):
		for line := range bytes.Lines(content) {
			v.ledger.Archive(line)
		}
	case strings.HasPrefix(key, archive.Errors):
		for entry, err := range erroroutput.Read(bytes.NewReader(content)) {
			if err != nil {
				return err
			}
			v.ledger.Refuse(entry)
		}
	case strings.HasPrefix(key, archive.Failures):
		return v.readFailure(content)
	}
	return nil
}

func (v *view) object(ctx context.Context, key string) ([]byte, error) {
	object, err := v.to.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &v.to.Bucket, Key: &key})
	if err != nil {
		return nil, err
	}
	defer object.Body.Close()
	opened, err := archive.Open(object.Body)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(opened)
}

// putObject adds an object to the archive.
func (v *view) putObject(ctx context.Context, content []byte) error {
	key := archive.Recommendations + uuid.NewString()
	_, err := v.to.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &v.to.Bucket, Key: &key,
		Body: bytes.NewReader(content)})
	return err
}

// readFailure reads what a consumer has given up: the whole event that it sent.
func (v *view) readFailure(content []byte) error {
	var failure struct {
		Payload string `json:"payload"`
	}
	if err := json.Unmarshal(content, &failure); err != nil {
		return err
	}
	var sent struct {
		Records []struct {
			EventID string `json:"eventID"`
			Kinesis struct {
				SequenceNumber string  `json:"sequenceNumber"`
				Data           string  `json:"data"`
				Arrival        float64 `json:"approximateArrivalTimestamp"`
			} `json:"kinesis"`
		}
	}
	if err := json.Unmarshal([]byte(failure.Payload), &sent); err != nil {
		return err
	}
	for _, record := range sent.Records {
		data, err := base64.StdEncoding.DecodeString(record.Kinesis.Data)
		if err != nil {
			return err
		}
		shard, _, _ := strings.Cut(record.EventID, ":")
		v.ledger.GiveUp(v.taken(shard, record.Kinesis.SequenceNumber,
			time.UnixMilli(int64(record.Kinesis.Arrival*1000+0.5)), data))
	}
	return nil
}

func (v *view) taken(shard, sequence string, arrived time.Time, data []byte) audit.Taken {
	place := activity.Place{Stream: v.to.Stream, Shard: shard, SequenceNumber: sequence}
	return audit.Taken{Place: place, Data: data, Origin: func(subsequence uint64) activity.Origin {
		place.Subsequence = subsequence
		return activity.FromStream(place, arrived)
	}}
}

func (v *view) readTable(ctx context.Context) error {
	pages := dynamodb.NewScanPaginator(v.to.DynamoDB, &dynamodb.ScanInput{TableName: &v.to.Table,
		ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("table %s: %w", v.to.Table, err)
		}
		for _, item := range page.Items {
			record, err := row.ReadRecord(item)
			if err != nil {
				return fmt.Errorf("table %s: %w", v.to.Table, err)
			}
			v.ledger.Row(record)
		}
	}
	return nil
}

// readStream reads every shard on from where it was read to.
func (v *view) readStream(ctx context.Context) error {
	listed, err := v.to.Kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &v.to.Stream})
	if err != nil {
		return err
	}
	for _, shard := range listed.Shards {
		if err := v.readShard(ctx, *shard.ShardId); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) readShard(ctx context.Context, id string) error {
	from := &kinesis.GetShardIteratorInput{StreamName: &v.to.Stream, ShardId: &id,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	if last, ok := v.behind[id]; ok {
		from.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		from.StartingSequenceNumber = &last
	}
	taken, err := v.to.Kinesis.GetShardIterator(ctx, from)
	if err != nil {
		return err
	}
	for iterator := taken.ShardIterator; iterator != nil; {
		read, err := v.to.Kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		if err != nil {
			return err
		}
		for _, record := range read.Records {
			v.ledger.Take(v.taken(id, *record.SequenceNumber, *record.ApproximateArrivalTimestamp, record.Data))
			v.behind[id] = *record.SequenceNumber
		}
		if len(read.Records) == 0 {
			return nil
		}
		iterator = read.NextShardIterator
	}
	return nil
}

// settle looks until everything is at its place, or patience ends.
func (v *view) settle(ctx context.Context, patience time.Duration) (audit.Account, error) {
	var account audit.Account
	err := wait.Rule{For: patience, Pause: 300 * time.Millisecond}.Until(ctx, func(ctx context.Context) error {
		if err := v.look(ctx); err != nil {
			return err
		}
		account = v.ledger.Account()
		if account.Settled() {
			return nil
		}
		return account.Err()
	})
	return account, errors.Join(err, account.Consistent())
}

// watch looks again and again until the context ends, and leaves out what cannot be read: a run
// that ends is seen until its end.
func (v *view) watch(ctx context.Context) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		_ = v.look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
