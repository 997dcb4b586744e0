package firehose

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/uuid"
)

// putTimeout bounds one attempt to write an object.
const putTimeout = time.Minute

// object is one that is being filled.
type object struct {
	prefix    prefix
	extension string
	gzip      bool
	body      bytes.Buffer
	oldest    time.Time // arrival of its oldest record
	outcomes  []outcome
	due       <-chan time.Time
}

// deliver gathers outcomes into objects and writes them until the outcomes end or the context does.
// The error says that an object could not be written.
func (p *Pump) deliver(ctx context.Context, outcomes <-chan []outcome) error {
	data := &object{prefix: p.prefix, extension: p.config.FileExtension, gzip: p.config.GZIP}
	refused := &object{prefix: p.errorPrefix}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-data.due:
			if err := p.put(ctx, data); err != nil {
				return err
			}
		case <-refused.due:
			if err := p.put(ctx, refused); err != nil {
				return err
			}
		case batch, open := <-outcomes:
			for _, o := range batch {
				if err := p.add(ctx, o, data, refused); err != nil {
					return err
				}
			}
			for _, filled := range []*object{data, refused} {
				if !open || p.config.Buffer.Interval == 0 {
					if err := p.put(ctx, filled); err != nil {
						return err
					}
				}
			}
			if !open {
				return nil
			}
		}
	}
}

// add puts an outcome where it belongs, and writes the object that is full then. Records are
// concatenated as they are.
func (p *Pump) add(ctx context.Context, o outcome, data, refused *object) error {
	into, content := data, o.output
	switch o.result {
	case dropped:
		p.statistics.settled(o, o.ended)
		return nil
	case failed:
		line, err := p.errorLine(o)
		if err != nil {
			return err
		}
		into, content = refused, line
	}
	if len(into.outcomes) == 0 && p.config.Buffer.Interval > 0 {
		into.due = time.After(p.config.Buffer.Interval)
	}
	if into.oldest.IsZero() || o.arrival.Before(into.oldest) {
		into.oldest = o.arrival
	}
	into.body.Write(content)
	o.data, o.output = nil, nil // only what the figures need is kept
	into.outcomes = append(into.outcomes, o)
	if into.body.Len() < p.config.Buffer.Bytes {
		return nil
	}
	return p.put(ctx, into)
}

// put writes an object and empties it. Every attempt writes the same key: one that only seemed to
// fail is written over. Whatever the bucket answers, it is asked again: who has taken it away may
// bring it back. An object that is not written in the end is counted.
func (p *Pump) put(ctx context.Context, o *object) error {
	if len(o.outcomes) == 0 {
		return nil
	}
	key := p.key(o)
	content, err := o.content()
	if err != nil {
		return err
	}
	begun := time.Now()
	for attempts := 1; ; attempts++ {
		err := p.write(ctx, key, content)
		if err == nil {
			p.statistics.written(o, time.Now())
			if attempts > 1 {
				p.tell("s3://%s is written to again, after %s: nothing was lost by the wait", p.config.Bucket,
					since(begun))
			}
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("write s3://%s/%s: %w", p.config.Bucket, key, context.Cause(ctx))
		}
		if time.Since(begun) >= p.config.DeliverFor {
			p.statistics.undelivered(o)
			p.tell("s3://%s/%s with %d records is given up after %s: %v", p.config.Bucket, key, len(o.outcomes),
				since(begun), err)
			break
		}
		if attempts == 1 {
			p.tell("s3://%s cannot be written to; it is tried for %s, and the stream keeps what comes: %v",
				p.config.Bucket, p.config.DeliverFor, err)
		}
		p.statistics.waits(begun, err)
		if err := p.pause(ctx, attempts); err != nil {
			return fmt.Errorf("write s3://%s/%s: %w", p.config.Bucket, key, err)
		}
	}
	*o = object{prefix: o.prefix, extension: o.extension, gzip: o.gzip}
	return nil
}

// content is what the bucket gets.
func (o *object) content() ([]byte, error) {
	if !o.gzip {
		return o.body.Bytes(), nil
	}
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	_, err := writer.Write(o.body.Bytes())
	err = errors.Join(err, writer.Close())
	return compressed.Bytes(), err
}

// write is one attempt.
func (p *Pump) write(ctx context.Context, key string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	_, err := p.store.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(p.config.Bucket), Key: aws.String(key), Body: bytes.NewReader(content),
		ContentLength: aws.Int64(int64(len(content))),
	})
	return err
}

func (p *Pump) tell(format string, arguments ...any) {
	p.config.Told("delivery stream " + p.config.Name + ": " + fmt.Sprintf(format, arguments...))
}

func since(begun time.Time) time.Duration { return time.Since(begun).Round(100 * time.Millisecond) }

// key is prefix, stream, version, time in UTC and a UUID ("Configure Amazon S3 object name
// format"). The time is that of the oldest record, as in the prefix. Only delivered objects have
// the extension.
func (p *Pump) key(o *object) string {
	at := o.oldest.UTC().Format("2006-01-02-15-04-05")
	return fmt.Sprintf("%s%s-%d-%s-%s%s", o.prefix.evaluate(o.oldest), p.config.Name, p.config.Version, at,
		uuid.NewString(), o.extension)
}
