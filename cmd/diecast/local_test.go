package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/platform"
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

// A run that is up tells what it does not honour: by type and reason for people, one by one for
// machines.
func TestLocalStatus_whatIsIgnored(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := runfolder.Open(".local/mine")
	require.NoError(t, err)
	ignored := []platform.Ignored{
		{Resource: "Streaming/Deliver", Type: "AWS::Lambda::Function", Property: "Role", Reason: "no permissions"},
		{Resource: "Streaming/Deliver", Type: "AWS::Lambda::Function", Property: "VpcConfig", Reason: "no network"},
		{Resource: "Streaming/Inference", Type: "AWS::Lambda::Function", Property: "Role", Reason: "no permissions"},
		{Resource: "Streaming/Table", Type: "AWS::DynamoDB::GlobalTable", Property: "Replicas[0].Tags",
			Reason: "no bill"},
		{Resource: "Streaming/Table", Type: "AWS::DynamoDB::GlobalTable", Property: "Replicas[1].Tags",
			Reason: "no bill"},
		{Resource: "Streaming/Table", Type: "AWS::DynamoDB::GlobalTable", Property: "Tags", Reason: "no bill"},
	}
	text, err := json.Marshal(ignored)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(".local/mine/"+platform.IgnoredFile, text, 0o600))

	_, out, _ := local(t, "status")
	_, told, _ := strings.Cut(out, "\n")
	assert.Equal(t, `  6 properties of the templates are ignored here, by type and number of resources:
  DynamoDB::GlobalTable
    1×  Replicas[].Tags, Tags: no bill
  Lambda::Function
    1×  VpcConfig: no network
    2×  Role: no permissions
`, told)
	_, out, _ = local(t, "status", "--json")
	var all []runStatus
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	assert.Equal(t, ignored, all[0].Ignored, "whole")

	require.NoError(t, folder.Close())
	_, out, _ = local(t, "status")
	assert.Equal(t, "mine: down\n", out, "a killed run's file tells nothing any more")

	folder, err = runfolder.Open(".local/mine")
	require.NoError(t, err)
	defer folder.Close()
	require.NoError(t, os.WriteFile(".local/mine/"+platform.IgnoredFile, []byte("{"), 0o600))
	code, _, failure := local(t, "status")
	assert.Equal(t, 1, code)
	assert.Contains(t, failure, platform.IgnoredFile)
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

// lost is a platform whose engine ends.
type lost struct {
	exited chan struct{}
	err    error
}

func (l *lost) Exited() <-chan struct{} { return l.exited }

func (l *lost) Err() error { return l.err }

func TestARunWhoseEngineEndsIsOverAndSaysWhy(t *testing.T) {
	running := &lost{exited: make(chan struct{})}
	ctx, release := whileUp(t.Context(), running)
	defer release()
	require.NoError(t, ctx.Err())
	require.ErrorIs(t, outcome(running, context.Canceled), context.Canceled, "the user's own end")

	running.err = errors.New("the engine moto has ended")
	close(running.exited)
	<-ctx.Done()
	require.Equal(t, running.err, outcome(running, errors.Join(ctx.Err(), errors.New("connection refused"))))
	require.Equal(t, running.err, outcome(running, nil), "what was finished before does not make it good")
}

func TestLocalRunNamesEveryBadFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, err := local(t, "run", "--events", "many", "--broken", "few")
	assert.Equal(t, 1, code)
	assert.Contains(t, err, `--events "many"`)
	assert.Contains(t, err, `--broken "few"`)
}

// A name is no path: no command looks outside of the folder of all runs.
func TestARunsNameIsNoPath(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	require.NoError(t, os.MkdirAll("x", 0o700))
	require.NoError(t, os.WriteFile("x/"+platform.OutputsFile, []byte("{}"), 0o600))
	for _, name := range []string{"../x", "..", "", "/x", "a/b", ".hidden", strings.Repeat("a", 64)} {
		for _, command := range [][]string{{"local", "up"}, {"local", "run"}, {"local", "down"}, {"local", "roll"},
			{"load"}, {"sql", "mysql", "--command", "SELECT 1"}} {
			var out, notes bytes.Buffer
			code := run(t.Context(), append(command, "--run", name), &out, &notes)
			assert.Equal(t, 1, code, "%s --run %q", command, name)
			assert.Contains(t, notes.String(), "the run's name is", "%s --run %q", command, name)
		}
	}
}
