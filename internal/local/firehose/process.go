package firehose

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// maxMessage bounds an error's text in the error output, in bytes.
const maxMessage = 1024

// process gathers the records of one shard into batches, invokes the processor and passes the
// outcomes on, in the records' order, until the records end or the context does.
func (p *Pump) process(ctx context.Context, records <-chan []record, outcomes chan<- []outcome) error {
	if p.config.Processor == nil {
		return p.passThrough(ctx, records, outcomes)
	}
	buffer := p.config.Processor.Buffer
	envelope := p.requestEnvelope()
	var batch []record
	var bytes, requestBytes int
	var due <-chan time.Time
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		processed, err := p.transform(ctx, batch)
		if err != nil {
			return err
		}
		batch, bytes, requestBytes, due = nil, 0, 0, nil
		return send(ctx, outcomes, processed)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-due:
			if err := flush(); err != nil {
				return err
			}
		case read, open := <-records:
			if !open {
				return flush()
			}
			for _, next := range read {
				size := next.sizeInRequest()
				if bytes+len(next.data) > buffer.Bytes || envelope+requestBytes+size > MaxPayload {
					if err := flush(); err != nil {
						return err
					}
				}
				if len(batch) == 0 && buffer.Interval > 0 {
					due = time.After(buffer.Interval)
				}
				batch, bytes, requestBytes = append(batch, next), bytes+len(next.data), requestBytes+size
			}
			if bytes >= buffer.Bytes || buffer.Interval == 0 {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

func (p *Pump) passThrough(ctx context.Context, records <-chan []record, outcomes chan<- []outcome) error {
	for read := range records {
		processed := make([]outcome, len(read))
		for i, r := range read {
			processed[i] = outcome{record: r, result: delivered, output: r.data, started: r.read, ended: r.read}
		}
		if err := send(ctx, outcomes, processed); err != nil {
			return err
		}
	}
	return nil
}

func send[T any](ctx context.Context, to chan<- T, value T) error {
	select {
	case to <- value:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// transform invokes the processor for a batch until it answers or the retries are used up. The
// error is that of the context; then nothing is known of the records.
func (p *Pump) transform(ctx context.Context, batch []record) ([]outcome, error) {
	started := time.Now()
	for attempts := 1; ; attempts++ {
		payload, reason, err := p.invoke(ctx, batch)
		if err != nil {
			return nil, err
		}
		if reason == nil {
			return p.judge(batch, payload, attempts, started), nil
		}
		if attempts > p.config.Processor.Retries {
			return settle(batch, attempts, started, func(record) (result, []byte, failure) {
				return failed, nil,
					*reason
			}), nil
		}
		p.statistics.count(func(s *Statistics) { s.Retries++ })
		if err := p.pause(ctx, attempts); err != nil {
			return nil, err
		}
	}
}

// invoke is one attempt. A failure is one that Firehose tries again; the error is that of the
// context.
func (p *Pump) invoke(ctx context.Context, batch []record) ([]byte, *failure, error) {
	request, err := p.request(batch)
	if err != nil {
		return nil, nil, err
	}
	p.statistics.count(func(s *Statistics) { s.Invocations++ })
	attempt, cancel := context.WithTimeout(ctx, p.config.Processor.Timeout)
	defer cancel()
	payload, functionError, err := p.invoker.Invoke(attempt, p.config.Processor.FunctionARN, request)
	switch {
	case ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case attempt.Err() != nil:
		return nil, &failure{codeTimedOut, "the processor did not answer within " +
			p.config.Processor.Timeout.String()}, nil
	case err != nil:
		return nil, invokeFailure(err), nil
	case functionError != "":
		return nil, &failure{codeFunctionError, "the processor was invoked and ended in an error: " +
			shortened(functionError)}, nil
	case len(payload) > MaxPayload:
		// Lambda itself refuses such an answer, as an error of the function.
		return nil, &failure{codeFunctionError, "the processor's answer is larger than 6 MB"}, nil
	}
	return payload, nil, nil
}

func invokeFailure(err error) *failure {
	code := codeInvokeFailed
	var fromAPI smithy.APIError
	if errors.As(err, &fromAPI) {
		if known, found := invokeCodes[fromAPI.ErrorCode()]; found {
			code = known
		}
	}
	return &failure{code, "the processor could not be invoked: " + shortened(err.Error())}
}

func shortened(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), maxMessage)], "�")
}

// judge applies an answer to its batch. What is wrong with it is final.
func (p *Pump) judge(batch []record, payload []byte, attempts int, started time.Time) []outcome {
	answer, err := decodeAnswer(payload)
	if err != nil {
		return settle(batch, attempts, started, func(record) (result, []byte, failure) {
			return failed, nil,
				unreadableAnswer
		})
	}
	if strangers := answer.strangers(batch); strangers > 0 {
		p.statistics.count(func(s *Statistics) { s.UnknownRecordIDs += strangers })
	}
	return settle(batch, attempts, started, func(r record) (result, []byte, failure) { return answer.verdict(r.id()) })
}

func settle(batch []record, attempts int, started time.Time, verdict func(record) (result, []byte, failure)) []outcome {
	ended := time.Now()
	outcomes := make([]outcome, len(batch))
	for i, r := range batch {
		outcomes[i] = outcome{record: r, attempts: attempts, started: started, ended: ended}
		outcomes[i].result, outcomes[i].output, outcomes[i].failure = verdict(r)
	}
	return outcomes
}
