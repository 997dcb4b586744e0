package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/vectorloader"
)

// vectorLoader answers invocations as the vector loader does, by action.
func vectorLoader(t *testing.T, answers map[string]string) *[]vectorloader.Request {
	t.Helper()
	var asked []vectorloader.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request vectorloader.Request
		_ = json.Unmarshal(body, &request)
		asked = append(asked, request)
		answer, known := answers[request.Action]
		if !known {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			answer = `{"errorMessage":"refused: vectors.maxVanished"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	data, err := outputs.File{
		Stacks: map[string]map[string]string{
			outputs.Vectors.Name("shop"): {outputs.VectorsLoaderFunctionName.Name: "loader",
				outputs.ArtifactsBucketName.Name: "artifacts"},
			outputs.Batch.Name("shop"): {outputs.LakeBucketName.Name: "lake"},
		},
		Endpoints: outputs.Endpoints{outputs.EndpointOf("Lambda"): server.URL, outputs.EndpointOf("S3"): server.URL,
			outputs.AccessKeyID: "k", outputs.SecretAccessKey: "s", outputs.Region: "r"},
	}.Encode()
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("outputs.json", data, 0o600))
	return &asked
}

func vectorsRun(t *testing.T, arguments ...string) (code int, out, notes string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"vectors"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

const vectorsStatus = `{"schema_version":2,"active":{"model_version":"00000000000b","previous_version":"00000000000a",
"origin":"shipped","towers":true,"switched_at":"2026-04-01T10:00:00Z","base_model_version":"00000000000a",
"run_id":"run-1","run_created_at":"2026-03-31T10:00:00Z","lake":"lake"},"run_age_hours":49,"pgvector":"0.8.0",
"versions":[{"model_version":"00000000000b","origin":"shipped","state":"loaded","towers":true,"search":"exact",
"items":20000,"users":3,"loaded_at":"2026-04-01T09:59:00Z","base_model_version":"00000000000a","run_id":"run-1",
"search_note":"exact although it has 20000 items: pgvector 0.8.0 builds no sound index"},
{"model_version":"00000000000a","origin":"shipped","state":"loaded","towers":true,"search":"exact","items":110,
"users":122,"loaded_at":"2026-03-01T09:59:00Z"}],"moves":[{"model_version":"00000000000b",
"previous_version":"00000000000a","switched_at":"2026-04-01T10:00:00Z","switched_by":"ada@lab"}]}`

func TestVectors_statusTellsAll(t *testing.T) {
	asked := vectorLoader(t, map[string]string{"status": vectorsStatus})
	code, out, notes := vectorsRun(t, "status")
	require.Zero(t, code, notes)
	assert.Equal(t, "vector store of platform shop on this machine, run of outputs.json\n", notes)
	assert.Equal(t, `Serves    model 00000000000b since 2026-04-01T10:00:00Z
Before    model 00000000000a, to which rollback goes
Run       run-1 of 2026-03-31T10:00:00Z, 2 days old
pgvector  0.8.0

MODEL         STATE   ORIGIN   ITEMS  USERS  SEARCH  RUN      TOWERS OF     LOADED
00000000000b  loaded  shipped  20000  3      exact   run-1    00000000000a  2026-04-01T09:59:00Z
00000000000a  loaded  shipped  110    122    exact   unknown  its own       2026-03-01T09:59:00Z

Model 00000000000b is searched exact although it has 20000 items: pgvector 0.8.0 builds no sound index.

SWITCHED              TO            FROM          BY
2026-04-01T10:00:00Z  00000000000b  00000000000a  ada@lab
`, out)
	assert.NotEmpty(t, (*asked)[0].By)
	code, out, _ = vectorsRun(t, "status", "--json")
	require.Zero(t, code)
	var told struct {
		Age   int `json:"run_age_hours"`
		Moves []struct {
			By string `json:"switched_by"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &told))
	assert.Equal(t, 49, told.Age)
	assert.Equal(t, "ada@lab", told.Moves[0].By)
}

func TestVectors_anEmptyStoreIsShown(t *testing.T) {
	vectorLoader(t, map[string]string{"status": `{"schema_version":0,"active":null,"versions":[],"moves":[]}`})
	code, out, notes := vectorsRun(t, "status")
	require.Zero(t, code, notes)
	assert.Equal(t, "Serves  no model yet\n", out)
}

func TestVectors_eachCommandAsksForItsAction(t *testing.T) {
	active := `{"model_version":"00000000000b","previous_version":"00000000000a","switched_at":"2026-04-01T10:00:00Z"}`
	asked := vectorLoader(t, map[string]string{
		"approve": active, "rollback": active, "reject": vectorsStatus,
		"load": `{"model_version":"00000000000b","new":true,"active_version":"00000000000a","note":"waits"}`,
		"refresh": `{"model_version":"00000000000c","base_model_version":"00000000000a","active_version":"00000000000c",
			"run_id":"run-2","figures":{"items":110,"added":1,"vanished":2},"left_out":1,"reasons":["row 1: why"]}`,
	})
	for _, test := range []struct {
		arguments []string
		want      vectorloader.Request
		out       string
	}{
		{[]string{"approve", "00000000000b"}, vectorloader.Request{Action: "approve", ModelVersion: "00000000000b"},
			"model 00000000000b serves since 2026-04-01T10:00:00Z; rollback goes back to 00000000000a\n"},
		{[]string{"rollback"}, vectorloader.Request{Action: "rollback"}, "model 00000000000b serves since"},
		{[]string{"reject", "00000000000a", "--reason", "weak"},
			vectorloader.Request{Action: "reject", ModelVersion: "00000000000a", Reason: "weak"}, "MODEL"},
		{[]string{"load", "00000000000b"}, vectorloader.Request{Action: "load", ModelVersion: "00000000000b"},
			"model 00000000000b is loaded; model 00000000000a serves; approve 00000000000b switches: waits\n"},
		{[]string{"load", "00000000000b", "--activate"},
			vectorloader.Request{Action: "load", ModelVersion: "00000000000b", Activate: true}, "is loaded"},
		{[]string{"refresh", "--training-run", "run-2"},
			vectorloader.Request{Action: "refresh", Run: "run-2", Lake: "lake"},
			"model 00000000000c is of run run-2, with the towers of 00000000000a: 110 items, 1 of them new; 2 have " +
				"vanished\nit serves\n1 rows of the run were left out, such as\n  row 1: why\n"},
	} {
		code, out, notes := vectorsRun(t, test.arguments...)
		require.Zero(t, code, notes)
		assert.Contains(t, out, test.out)
		got := (*asked)[len(*asked)-1]
		got.By = ""
		assert.Equal(t, test.want, got)
	}
}

func TestVectors_whatIsRefusedIsTold(t *testing.T) {
	vectorLoader(t, nil)
	for message, arguments := range map[string][]string{
		"diecast vectors refresh: refused: vectors.maxVanished": {"refresh"},
		"item_embeddings.csv: does not exist":                   {"load", "."},
		"--popularity is for a folder":                          {"load", "00000000000a", "--popularity", "p.csv"},
		"--outputs and --run name two platforms":                {"status", "--run", "x", "--outputs", "y"},
		"accepts 1 arg":                                         {"approve"},
	} {
		code, out, notes := vectorsRun(t, arguments...)
		assert.Equal(t, 1, code)
		assert.Empty(t, out)
		assert.Contains(t, notes, message)
	}
}
