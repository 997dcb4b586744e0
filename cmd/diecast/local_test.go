package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/ledger"
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

// One folder that cannot be read hides no other, and what can be read of it is told.
func TestLocalStatus_aBadFolderHidesNoOther(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"a-up", "c-half"} {
		folder, err := runfolder.Open(".local/" + name)
		require.NoError(t, err)
		defer folder.Close()
	}
	require.NoError(t, os.MkdirAll(".local/b-bad/lock", 0o700))
	require.NoError(t, os.MkdirAll(".local/d-down", 0o700))
	require.NoError(t, os.WriteFile(".local/d-down/lock", []byte("1\n"), 0o600))
	require.NoError(t, os.WriteFile(".local/c-half/"+ledger.File, []byte("{"), 0o600))
	require.NoError(t, os.WriteFile(".local/c-half/"+platform.IgnoredFile,
		[]byte(`[{"type":"AWS::A::B","property":"P","reason":"no need"}]`), 0o600))

	code, out, failure := local(t, "status")
	assert.Equal(t, 1, code)
	assert.Regexp(t, `^a-up: up, .*\nb-bad: not known\nc-half: up, .*\n(?:  .*\n)*  .*P: no need\nd-down: down\n$`, out)
	assert.Regexp(t, `^diecast local status: b-bad: .*lock is no file of this user's.*\n`+
		`diecast local status: c-half: .*account\.json: .*\n$`, failure)

	code, out, _ = local(t, "status", "--json")
	assert.Equal(t, 1, code)
	var all []runStatus
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 4)
	assert.Equal(t, os.Getpid(), all[0].PID)
	assert.Empty(t, all[0].Problem)
	assert.Contains(t, all[1].Problem, "is no file of this user's")
	assert.Contains(t, all[2].Problem, "account.json")
	assert.Len(t, all[2].Ignored, 1)
	assert.Equal(t, runStatus{Run: "d-down", Outputs: ".local/d-down/outputs.json"}, all[3])
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
	assert.NoDirExists(t, runsFolder, "nothing came of it")
}

// What a killed run told is gone when the next one starts, whatever becomes of that.
func TestAStartRemovesWhatAKilledRunLeft(t *testing.T) {
	t.Chdir(t.TempDir())
	folder := filepath.Join(runsFolder, "mine")
	log, password := filepath.Join("engines", "mariadb-S", "mariadb.log"), filepath.Join("engines", "mariadb-S",
		"password")
	for _, name := range append([]string{"lock", log, password}, platform.Telling...) {
		file := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, nil, 0o600))
	}
	code, _, _ := local(t, "up", "--run", "mine")
	assert.Equal(t, 1, code, "there is no assembly")
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(folder, "engines"), filepath.Join(folder, "lock")}, left)
	assert.FileExists(t, filepath.Join(folder, log))
	assert.NoFileExists(t, filepath.Join(folder, password))
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

// What cannot be meant is refused before anything starts, all of it at once, and no run's folder is
// made.
func TestArgumentsThatCannotBeMeantAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		line  []string
		named []string
	}{
		{[]string{"local", "run", "--events=-1", "--broken=NaN", "--shown=-1", "--buffers=-1s", "--run=../x",
			"--assembly=",
			"--source= "}, []string{"--events is -1", "--broken is NaN", "--shown is -1", "--buffers is -1s",
			`the run's name is "../x"`, "--assembly is empty", "--source is empty"}},
		{[]string{"local", "run", "--events=0", "--broken=2", "--buffers=16m"}, []string{"--events is 0",
			"--broken is 2",
			"--buffers is 16m: 0s to 15m0s"}},
		{[]string{"local", "run", "--events=1000000000000", "--broken=-0.1", "--buffers=soon"},
			[]string{"--events is 1000000000000", "--broken is -0.1", `--buffers "soon" is not a duration`}},
		{[]string{"local", "run", "--events=1e12", "--broken=Inf", "--shown=x"},
			[]string{`--events "1e12" is not an integer`,
				"--broken is Inf", `--shown "x" is not an integer`}},
		{[]string{"local", "up", "--buffers=-1ns", "--assembly="}, []string{"--buffers is -1ns",
			"--assembly is empty"}},
		{[]string{"local", "up", "--run=a\x00b", "--buffers=1h"}, []string{`the run's name is "a\x00b"`,
			"--buffers is 1h"}},
		{[]string{"local", "status", "--run=a\nb"}, []string{`the run's name is "a\nb"`}},
		{[]string{"local", "down", "--run=" + strings.Repeat("a", 300)}, []string{"the run's name is"}},
		{[]string{"load", "--rate=0", "--duration=0s", "--path=x"}, []string{"rate 0:", "duration 0s:", `--path "x"`}},
		{[]string{"load", "--rate=1000000000", "--duration=-1s", "--outputs="}, []string{"rate 1000000000:",
			"duration -1s:", "--outputs is empty"}},
		{[]string{"load", "--rate=many", "--duration=long", "--run=.."}, []string{`--rate "many"`, `--duration "long"`,
			`the run's name is ".."`}},
		{[]string{"sql", "mysql", "--command= ", "--run="}, []string{"--command is empty", `the run's name is ""`}},
		{[]string{"sql", "postgres", "--outputs="}, []string{"--outputs is empty"}},
		{[]string{"generate", "--format=x", "--count=-1", "--scale=NaN", "--strength=Inf", "--advance=-1",
			"--broken=NaN",
			"--sessions=-1"}, []string{"--format", "--out is missing", "--count -1", "scale NaN", "strength +Inf",
			"advance -1", "broken share NaN", "sessions -1"}},
		{[]string{"generate", "--format=events", "--out=-", "--count=1000000000001"},
			[]string{"--count 1000000000001"}},
	} {
		var out, notes bytes.Buffer
		assert.Equal(t, 1, run(t.Context(), c.line, &out, &notes), "%q", c.line)
		for _, named := range c.named {
			assert.Contains(t, notes.String(), named, "%q", c.line)
		}
		assert.Empty(t, out.String(), "%q", c.line)
		assert.NotContains(t, notes.String(), "goroutine")
	}
	assert.NoDirExists(t, runsFolder)
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
