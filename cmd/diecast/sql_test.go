package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
)

// loader answers invocations of functions like the loaders', and notes what it was asked.
type loader struct {
	functions, statements []string
	answer, failure       string
}

// outputsFile is that of a run whose functions the loader answers for.
func (l *loader) outputsFile(t *testing.T, file string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request struct{ Action, Statement string }
		if json.Unmarshal(body, &request) != nil || request.Action != "query" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		l.functions = append(l.functions, strings.Split(r.URL.Path, "/")[3])
		l.statements = append(l.statements, request.Statement)
		if l.failure != "" {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			_, _ = io.WriteString(w, l.failure)
			return
		}
		_, _ = io.WriteString(w, l.answer)
	}))
	t.Cleanup(server.Close)
	data, err := outputs.File{
		Stacks: map[string]map[string]string{
			outputs.Batch.Name("shop"):   {outputs.SourceLoaderFunctionName.Name: "source-loader"},
			outputs.Vectors.Name("shop"): {outputs.VectorsLoaderFunctionName.Name: "vectors-loader"},
		},
		Endpoints: outputs.Endpoints{
			outputs.EndpointOf("Lambda"): server.URL, outputs.AccessKeyID: "k", outputs.SecretAccessKey: "s",
			outputs.Region: "r",
		},
	}.Encode()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
}

const twoRows = `{"columns":["code","name"],"rows":[["S10_1","An\nchor"],["S10_2",null]],"truncated":true}`

func query(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"sql"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestSQL_asksTheDatabasesOwnLoader(t *testing.T) {
	t.Chdir(t.TempDir())
	l := &loader{answer: twoRows}
	l.outputsFile(t, "outputs.json")
	code, out, notes := query(t, "mysql", "--command", "SELECT * FROM products;")
	require.Zero(t, code, notes)
	assert.Equal(t, "code   name\nS10_1  An\\nchor\nS10_2  NULL\n", out)
	assert.Equal(t, "mysql of platform shop on this machine, run of outputs.json\n2 rows, and there are more\n", notes)
	code, out, _ = query(t, "postgres", "--json", "--command", "SELECT 1")
	require.Zero(t, code)
	assert.JSONEq(t, twoRows, out)
	assert.Equal(t, []string{"source-loader", "vectors-loader"}, l.functions)
	assert.Equal(t, []string{"SELECT * FROM products", "SELECT 1"}, l.statements)
}

func TestSQL_findsARunOfThisMachine(t *testing.T) {
	t.Chdir(t.TempDir())
	l := &loader{answer: twoRows}
	l.outputsFile(t, ".local/mine/outputs.json")
	code, _, notes := query(t, "mysql", "--run", "mine", "--command", "SELECT 1")
	assert.Zero(t, code, notes)
	code, _, notes = query(t, "mysql", "--command", "SELECT 1")
	assert.Equal(t, 1, code)
	assert.Contains(t, notes, "there is no file of outputs outputs.json")
	code, _, notes = query(t, "mysql", "--run", "mine", "--outputs", "x")
	assert.Equal(t, 1, code)
	assert.Contains(t, notes, "[outputs run]")
}

func TestSQL_tellsWhatTheLoaderRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	l := &loader{failure: `{"errorMessage":"query: the statement begins with \"DROP\"","errorType":"errorString"}`}
	l.outputsFile(t, "outputs.json")
	code, out, notes := query(t, "mysql", "--command", "DROP TABLE t")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, notes, `diecast sql: query: the statement begins with "DROP"`)
	code, _, notes = query(t, "oracle")
	assert.Equal(t, 1, code)
	assert.Contains(t, notes, `"oracle"`)
}

func session(in string, answer func(string) ([]byte, error)) (statements []string, failure error) {
	s := &sqlSession{user: &terminal{out: io.Discard, err: io.Discard}, in: strings.NewReader(in)}
	s.invoke = func(_ context.Context, payload []byte) ([]byte, error) {
		var request struct{ Statement string }
		if err := json.Unmarshal(payload, &request); err != nil {
			return nil, err
		}
		statements = append(statements, request.Statement)
		return answer(request.Statement)
	}
	failure = s.prompt(context.Background(), "mysql")
	return statements, failure
}

func TestSQL_readsStatementsUntilTheirSemicolons(t *testing.T) {
	always := func(string) ([]byte, error) { return []byte(twoRows), nil }
	statements, err := session("SELECT\n ';', 1;\n\n;\nSELECT 2 ; \nSELECT 3", always)
	require.NoError(t, err)
	assert.Equal(t, []string{"SELECT\n ';', 1", "SELECT 2", "SELECT 3"}, statements)

	statements, err = session("SELECT 1;\nSELECT 2;\n", func(string) ([]byte, error) { return nil, io.ErrClosedPipe })
	require.ErrorIs(t, err, io.ErrClosedPipe)
	assert.Len(t, statements, 1, "a script ends with its first failure")
}

func TestSQL_waitsForNoSilentLoaderWithoutEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // connections are accepted, and nobody answers
	require.NoError(t, err)
	defer listener.Close()
	client := lambda.New(lambda.Options{
		BaseEndpoint: aws.String("http://" + listener.Addr().String()), Region: "r",
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
	})
	_, err = invoke(t.Context(), client, "loader", nil, 50*time.Millisecond)
	require.EqualError(t, err, "invoking loader: no answer within 50ms")
}
