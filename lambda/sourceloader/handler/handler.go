// Package handler answers the events of the source loader: those of its custom resource, at
// deployment, and the requests of operators. It does not know how the database is reached.
package handler

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"diecast/internal/classicmodels"
	"diecast/internal/source"
	"diecast/lambda/internal/customresource"
	"diecast/lambda/internal/function"
)

// answerMargin is kept of the function's time to tell, and to give back what was begun: a load that
// the time-out ends would say nothing.
const answerMargin = 10 * time.Second

// physicalID is the custom resource's.
const physicalID = "source-database"

// Getter is the part of the S3 client that reads a dump.
type Getter interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Backend is what the loader works on.
type Backend struct {
	Source *source.Database
	// Reader is a pool whose login is a reader's, for queries.
	Reader *sql.DB
	// Dumps lie in S3.
	Dumps Getter
}

// Handler answers the events of the custom resource and the requests of operators.
type Handler struct {
	// Open connects to the backend; it is not called where nothing is to be done.
	Open   func(context.Context) (Backend, error)
	Logger *slog.Logger
}

// Properties of the custom resource. Others, such as a hash that makes CloudFormation run it again,
// are not read.
type Properties struct {
	// Kind is what an empty source is filled with: sample, empty or dump.
	Kind string `json:"Kind"`
	// Scale and Seed of a sample; the defaults are those of classicmodels.DefaultOptions.
	Scale Text `json:"Scale"`
	Seed  Text `json:"Seed"`
	// DumpURI is s3://bucket/key of a dump.
	DumpURI string `json:"DumpUri"`
}

// Text is a property that may be written as a number: CloudFormation makes texts of them all.
type Text string

// UnmarshalJSON reads a text or a number.
func (t *Text) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		var number json.Number
		if err := json.Unmarshal(data, &number); err != nil {
			return fmt.Errorf("%.40s is neither a text nor a number", data)
		}
		text = number.String()
	}
	*t = Text(text)
	return nil
}

// ResourceAnswer is what the framework takes.
type ResourceAnswer = customresource.Answer

// Request is what operators send.
type Request struct {
	// Action is status, advance or query.
	Action string `json:"action"`
	// Days to advance.
	Days int `json:"days,omitempty"`
	// Statement to query with.
	Statement string `json:"statement,omitempty"`
}

// Handle answers a ResourceEvent with a ResourceAnswer, and a Request with a source.State,
// source.Advanced or sqlquery.Table.
func (h Handler) Handle(ctx context.Context, payload json.RawMessage) (any, error) {
	ctx, cancel := function.Keep(ctx, answerMargin)
	defer cancel()
	var kind struct {
		RequestType *string `json:"RequestType"`
		Action      *string `json:"action"`
	}
	if err := json.Unmarshal(payload, &kind); err != nil {
		return nil, fmt.Errorf("the event is not a JSON object: %w", err)
	}
	switch {
	case kind.RequestType != nil:
		return h.resource(ctx, payload)
	case kind.Action != nil:
		return h.operate(ctx, payload)
	}
	return nil, errors.New(
		`the event has neither RequestType, as a custom resource sends it, nor action: ` + allowedActions,
	)
}

func (h Handler) resource(ctx context.Context, payload json.RawMessage) (ResourceAnswer, error) {
	return customresource.Resource[Properties]{ID: physicalID, Make: h.deploy, Logger: h.Logger}.Handle(ctx, payload)
}

// deploy migrates the source, and fills an empty one.
func (h Handler) deploy(ctx context.Context, change customresource.Change[Properties]) (map[string]string, error) {
	wanted, bucket, key, err := change.Wanted.contents()
	if err != nil {
		return nil, err
	}
	backend, err := h.Open(ctx)
	if err != nil {
		return nil, err
	}
	wanted.Dump = func(ctx context.Context) (io.ReadCloser, error) {
		object, err := backend.Dumps.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if err != nil {
			return nil, err
		}
		return object.Body, nil
	}
	wanted.Progress = func(rows int64) { h.Logger.InfoContext(ctx, "loading", slog.Int64("rows", rows)) }
	state, err := backend.Source.Apply(ctx, wanted)
	if err != nil {
		return nil, err
	}
	if state.Kind == source.Foreign && wanted.Kind != source.Empty {
		h.Logger.WarnContext(
			ctx, "the source holds rows that no load made: they stay, and nothing is loaded",
			slog.Any("wanted", wanted.Kind),
		)
	}
	h.Logger.InfoContext(ctx, "source is ready", slog.Any("state", state))
	return map[string]string{
		"SchemaVersion": strconv.Itoa(state.SchemaVersion), "Kind": string(state.Kind), "Detail": state.Detail,
		"Rows": strconv.FormatInt(state.Rows, 10),
	}, nil
}

// contents are what the properties ask for, without the way to open a dump. The error names every
// problem.
func (p Properties) contents() (wanted source.Contents, bucket, key string, err error) {
	wanted = source.Contents{Kind: source.Kind(p.Kind), Options: classicmodels.DefaultOptions(), DumpName: p.DumpURI}
	var problems []error
	if p.Scale != "" {
		if wanted.Options.Scale, err = strconv.ParseFloat(string(p.Scale), 64); err != nil {
			problems = append(problems, fmt.Errorf("property Scale is %q: a number is allowed", p.Scale))
		}
	}
	if p.Seed != "" {
		if wanted.Options.Seed, err = strconv.ParseUint(string(p.Seed), 10, 64); err != nil {
			problems = append(problems, fmt.Errorf("property Seed is %q: a whole number from 0 is allowed", p.Seed))
		}
	}
	if wanted.Kind == source.Dump {
		path, scheme := strings.CutPrefix(p.DumpURI, "s3://")
		if bucket, key, _ = strings.Cut(path, "/"); !scheme || bucket == "" || key == "" {
			problems = append(problems, fmt.Errorf("property DumpUri is %q: s3://bucket/key is allowed", p.DumpURI))
		}
	}
	return wanted, bucket, key, errors.Join(problems...)
}

const allowedActions = "status, advance and query are allowed"

func (h Handler) operate(ctx context.Context, payload json.RawMessage) (any, error) {
	var request Request
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields() // a misspelt "days" must not do something else
	if err := decoder.Decode(&request); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	operations := map[string]func(Backend) (any, error){
		"status":  func(b Backend) (any, error) { return b.Source.Status(ctx) },
		"advance": func(b Backend) (any, error) { return b.Source.Advance(ctx, request.Days) },
		"query":   func(b Backend) (any, error) { return source.Query(ctx, b.Reader, request.Statement) },
	}
	operation, known := operations[request.Action]
	if !known {
		return nil, fmt.Errorf("action is %q: %s", request.Action, allowedActions)
	}
	backend, err := h.Open(ctx)
	if err != nil {
		return nil, err
	}
	return operation(backend)
}
