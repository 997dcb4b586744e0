package handler_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels"
	"diecast/internal/local/mariadb/mariadbtest"
	"diecast/internal/source"
	"diecast/internal/sqlquery"
	"diecast/lambda/sourceloader/handler"
)

func TestMain(m *testing.M) { os.Exit(mariadbtest.Run(m)) }

// bucket holds objects by bucket/key.
type bucket map[string]string

func (b bucket) GetObject(
	_ context.Context, input *s3.GetObjectInput, _ ...func(*s3.Options),
) (*s3.GetObjectOutput, error) {
	content, found := b[aws.ToString(input.Bucket)+"/"+aws.ToString(input.Key)]
	if !found {
		return nil, &types.NoSuchKey{}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(strings.NewReader(content))}, nil
}

// loader works on an empty server.
type loader struct {
	handler.Handler
	pool    *sql.DB
	objects bucket
	logs    *bytes.Buffer
}

func newLoader(t *testing.T) loader {
	t.Helper()
	pool := mariadbtest.Open(t, mariadbtest.Server(t).DSN(""))
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS classicmodels", "DROP DATABASE IF EXISTS diecast",
		"DROP USER IF EXISTS 'owner'@'%', 'etl_reader'@'%', 'web_reader'@'%'",
	} {
		mariadbtest.Execute(t, pool, statement)
	}
	l := loader{pool: pool, objects: bucket{}, logs: &bytes.Buffer{}}
	l.Handler = handler.Handler{
		Open: func(context.Context) (handler.Backend, error) {
			return handler.Backend{Source: source.New(pool), Reader: pool, Dumps: l.objects}, nil
		},
		Logger: slog.New(slog.NewJSONHandler(l.logs, nil)),
	}
	return l
}

// call sends an event and decodes the answer as its caller sees it.
func (l loader) call(t *testing.T, event string, into any) error {
	t.Helper()
	answer, err := l.Handle(t.Context(), json.RawMessage(event))
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	require.NoError(t, err)
	return json.Unmarshal(text, into)
}

func (l loader) resource(t *testing.T, kind, properties string) handler.ResourceAnswer {
	t.Helper()
	var answer handler.ResourceAnswer
	require.NoError(t, l.call(t, `{"RequestType":"`+kind+`","ServiceToken":"arn","StackId":"s","LogicalResourceId":"l",
		"ResourceProperties":{"ServiceToken":"arn","SchemaHash":"h",`+properties+`},"OldResourceProperties":{}}`,
		&answer))
	return answer
}

func TestDeploymentLoadsASampleOnce(t *testing.T) {
	l := newLoader(t)
	created := l.resource(t, "Create", `"Kind":"sample","Scale":"0.1","Seed":"18446744073709551615"`)
	assert.Equal(t, "source-database", created.PhysicalResourceID)
	assert.Equal(t, "sample", created.Data["Kind"])
	assert.Equal(t, "1", created.Data["SchemaVersion"])
	assert.Equal(t, "seed=18446744073709551615 scale=0.1 strength=0.8 advance=0", created.Data["Detail"])
	assert.Equal(
		t, created, l.resource(t, "Update", `"Kind":"sample","Scale":2,"Seed":3`),
		"numbers are read, and what is there stays",
	)

	var advanced source.Advanced
	require.NoError(t, l.call(t, `{"action":"advance","days":2}`, &advanced))
	assert.Equal(t, 2, advanced.Since)
	var state source.State
	require.NoError(t, l.call(t, `{"action":"status"}`, &state))
	assert.Equal(t, 2, state.AdvanceDays)
	assert.EqualValues(t, 12, state.Tables["customers"])
	var table sqlquery.Table
	require.NoError(
		t, l.call(t, `{"action":"query","statement":"SELECT kind, advance_days FROM diecast.source_load"}`, &table),
	)
	assert.Equal(t, []string{"kind", "advance_days"}, table.Columns)
	assert.Equal(t, []string{"sample", "2"}, []string{*table.Rows[0][0], *table.Rows[0][1]})
}

func TestDefaultsAreTheGenerators(t *testing.T) {
	l := newLoader(t)
	assert.Equal(t, "seed=1 scale=1 strength=0.8 advance=0", l.resource(t, "Create", `"Kind":"sample"`).Data["Detail"])
}

func TestDeploymentLoadsADump(t *testing.T) {
	l := newLoader(t)
	options := classicmodels.DefaultOptions()
	options.Scale = 30
	shop, err := classicmodels.New(options)
	require.NoError(t, err)
	var written bytes.Buffer
	_, err = classicmodels.WriteSQL(
		t.Context(), shop, func(string) (io.WriteCloser, error) { return closing{&written}, nil },
	)
	require.NoError(t, err)
	l.objects["dumps/my shop#1.sql"] = written.String()

	var answer handler.ResourceAnswer
	err = l.call(
		t,
		`{"RequestType":"Create","ResourceProperties":{"Kind":"dump","DumpUri":"s3://dumps/none.sql"}}`,
		&answer,
	)
	require.ErrorContains(t, err, "load the dump: open s3://dumps/none.sql: NoSuchKey")
	assert.Equal(t, "dump", l.resource(t, "Create", `"Kind":"dump","DumpUri":"s3://dumps/my shop#1.sql"`).Data["Kind"])
	assert.Contains(t, l.logs.String(), `"msg":"loading","rows":100000`)
	require.ErrorContains(t, l.call(t, `{"action":"advance","days":2}`, &answer), "only a generated shop lives on")
}

type closing struct{ io.Writer }

func (closing) Close() error { return nil }

func TestForeignRowsMakeNoDeploymentFail(t *testing.T) {
	l := newLoader(t)
	assert.Equal(t, "empty", l.resource(t, "Create", `"Kind":"empty"`).Data["Kind"])
	_, err := l.pool.ExecContext(t.Context(), "INSERT INTO classicmodels.productlines (productLine) VALUES ('Kites')")
	require.NoError(t, err)
	assert.Equal(t, "foreign", l.resource(t, "Update", `"Kind":"empty"`).Data["Kind"])
	assert.NotContains(t, l.logs.String(), "WARN")
	assert.Equal(t, "foreign", l.resource(t, "Update", `"Kind":"sample"`).Data["Kind"])
	assert.Contains(t, l.logs.String(), "rows that no load made")
}

func TestDeleteOpensNothing(t *testing.T) {
	h := handler.Handler{
		Open: func(context.Context) (handler.Backend, error) { return handler.Backend{}, errors.New("opened") },
	}
	answer, err := h.Handle(
		t.Context(),
		json.RawMessage(`{"RequestType":"Delete","PhysicalResourceId":"source-database","ResourceProperties":{}}`),
	)
	require.NoError(t, err)
	assert.Equal(t, handler.ResourceAnswer{PhysicalResourceID: "source-database", Data: map[string]string{}}, answer)
}

func TestBadEventsNameWhatIsAllowed(t *testing.T) {
	h := handler.Handler{Open: func(context.Context) (handler.Backend, error) {
		return handler.Backend{}, errors.New("DATABASE_HOST is not set")
	}}
	for name, test := range map[string]struct{ event, message string }{
		"no JSON":            {`{`, "not a JSON object"},
		"a list":             {`[]`, "not a JSON object"},
		"neither of the two": {`{"version":"0"}`, "status, advance and query are allowed"},
		"unknown request":    {`{"RequestType":"Replace"}`, "Create, Update and Delete are allowed"},
		"unknown action":     {`{"action":"drop"}`, `action is "drop": status, advance and query are allowed`},
		"a misspelt field":   {`{"action":"advance","day":1}`, "day"},
		"days as a text":     {`{"action":"advance","days":"1"}`, "days"},
		"scale and seed": {`{"RequestType":"Create","ResourceProperties":{"Kind":"sample","Scale":"big",` +
			`"Seed":-1}}`, "property Scale is \"big\": a number is allowed\nproperty Seed is \"-1\": a whole number"},
		"scale as a list": {`{"RequestType":"Create","ResourceProperties":{"Kind":"sample","Scale":[]}}`,
			"[] is neither a text nor a number"},
		"a dump of no name": {`{"RequestType":"Create","ResourceProperties":{"Kind":"dump"}}`,
			`DumpUri is "": s3://bucket/key is allowed`},
		"a dump of the web": {`{"RequestType":"Create","ResourceProperties":{"Kind":"dump",` +
			`"DumpUri":"https://host/key"}}`, "s3://bucket/key is allowed"},
		"a dump of no key": {`{"RequestType":"Create","ResourceProperties":{"Kind":"dump",` +
			`"DumpUri":"s3://bucket/"}}`, "s3://bucket/key is allowed"},
		"a backend that is not": {`{"RequestType":"Create","ResourceProperties":{"Kind":"sample"}}`,
			"DATABASE_HOST is not set"},
		"nor for an operator": {`{"action":"status"}`, "DATABASE_HOST is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Handle(t.Context(), json.RawMessage(test.event))
			require.ErrorContains(t, err, test.message)
		})
	}
	l := newLoader(t)
	var answer any
	require.ErrorContains(
		t, l.call(t, `{"RequestType":"Create","ResourceProperties":{"Kind":"copy"}}`, &answer),
		`kind "copy": sample, empty and dump are allowed`,
	)
	require.ErrorContains(t, l.call(t, `{"action":"query","statement":"DROP TABLE x"}`, &answer), "SELECT, WITH")
}

// Lambda ends the process at its deadline: what is to be told must be told before.
func TestALoadThatTheTimeIsTooShortForIsAnsweredWithTheWayToDoIt(t *testing.T) {
	l := newLoader(t)
	ctx, cancel := context.WithTimeout(t.Context(), handler.AnswerMargin+time.Second)
	defer cancel()
	_, err := l.Handle(ctx, json.RawMessage(
		`{"RequestType":"Create","ResourceProperties":{"Kind":"sample","Scale":"400"}}`,
	))
	require.ErrorContains(t, err, "the time is up before all is loaded: load it by hand: deploy with source.kind=empty")
	require.NoError(t, ctx.Err(), "Lambda would have ended the process before")
	var state source.State
	require.NoError(t, l.call(t, `{"action":"status"}`, &state))
	assert.Equal(t, source.Empty, state.Kind)
}
