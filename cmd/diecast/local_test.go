package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/runfolder"
)

func local(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"local"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestLocalStatus(t *testing.T) {
	t.Chdir(t.TempDir())
	code, out, _ := local(t, "status")
	assert.Zero(t, code)
	assert.Contains(t, out, "no run yet")

	folder, err := runfolder.Open(".local/mine")
	require.NoError(t, err)
	_, out, _ = local(t, "status")
	assert.Regexp(t, `^mine: up, process \d+, outputs and endpoints in \.local/mine/outputs\.json\n$`, out)

	require.NoError(t, folder.Close())
	_, out, _ = local(t, "status", "--json")
	var all []runStatus
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	assert.Equal(t, []runStatus{{Run: "mine", Outputs: ".local/mine/outputs.json"}}, all)
}

func TestLocalDownOfARunThatIsNotUp(t *testing.T) {
	t.Chdir(t.TempDir())
	code, out, _ := local(t, "down", "--run", "mine")
	assert.Zero(t, code)
	assert.Equal(t, "mine is not up\n", out)
}

func TestLocalWithoutAnAssemblySaysSo(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, err := local(t, "up")
	assert.Equal(t, 1, code)
	assert.Contains(t, err, "cdk.out")
	assert.NotContains(t, err, "goroutine")
}

func TestLocalRunNamesEveryBadFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, err := local(t, "run", "--events", "many", "--broken", "few")
	assert.Equal(t, 1, code)
	assert.Contains(t, err, `--events "many"`)
	assert.Contains(t, err, `--broken "few"`)
}
