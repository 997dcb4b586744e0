package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/trainingset"
)

func diecast(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), arguments, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func succeed(t *testing.T, arguments ...string) string {
	t.Helper()
	code, out, err := diecast(t, arguments...)
	require.Zero(t, code, err)
	return out
}

// files are the contents below a folder, by name.
func files(t *testing.T, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(folder), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(folder, name))
		all[name] = string(text)
		return err
	}))
	return all
}

func TestEveryFormatIsWrittenTheSameTwice(t *testing.T) {
	for format, expected := range map[string]string{"sql": "classicmodels.sql", "csv": "ratings.csv",
		"training-set": "truth/preferences.csv"} {
		t.Run(format, func(t *testing.T) {
			one, two := filepath.Join(t.TempDir(), "a", "set"), filepath.Join(t.TempDir(), "set")
			out := succeed(t, "generate", "--format", format, "--out", one, "--scale", "0.2")
			succeed(t, "generate", "--format", format, "--out", two, "--scale", "0.2")
			assert.Equal(t, files(t, one), files(t, two))
			assert.Contains(t, files(t, one), expected)
			assert.Contains(t, out, expected)
			assert.Contains(t, out, "seed=1 scale=0.2 strength=0.8 advance=0")
			assert.Contains(t, out, one)
		})
	}
}

func TestTrainingSetAdvancesRunByRun(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "training-set", "--out", folder, "--seed", "5", "--scale", "0.5")
	succeed(t, "generate", "--format", "training-set", "--out", folder, "--advance", "10")
	succeed(t, "generate", "--format", "training-set", "--out", folder, "--advance", "5")
	runs, err := os.ReadDir(filepath.Join(folder, trainingset.Prefix))
	require.NoError(t, err)
	require.Len(t, runs, 3)
	for i, end := range []string{"20050601", "20050611", "20050616"} {
		assert.True(t, strings.HasPrefix(runs[i].Name(), end), runs[i].Name())
		_, err := trainingset.Verify(os.DirFS(filepath.Join(folder, trainingset.Prefix, runs[i].Name())))
		assert.NoError(t, err)
	}
	// In one step it is the same state.
	whole := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "training-set", "--out", whole, "--seed", "5", "--scale", "0.5", "--advance",
		"15")
	latest := filepath.Join(trainingset.Prefix, runs[2].Name())
	assert.Equal(t, files(t, filepath.Join(whole, latest)), files(t, filepath.Join(folder, latest)))
}

func TestSQLAdvancesByAFileOfChanges(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "sql", "--out", folder)
	before := files(t, folder)
	succeed(t, "generate", "--format", "sql", "--out", folder, "--advance", "7")
	after := files(t, folder)
	assert.Equal(t, before["classicmodels.sql"], after["classicmodels.sql"])
	assert.Contains(t, after["advance-0001-0007.sql"], "ON DUPLICATE KEY UPDATE")
	succeed(t, "generate", "--format", "sql", "--out", folder, "--advance", "1")
	assert.Contains(t, files(t, folder), "advance-0008-0008.sql")
}

func TestAdvanceRefusesOtherOptions(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "csv", "--out", folder, "--scale", "0.1")
	before := files(t, folder)
	code, _, err := diecast(t, "generate", "--format", "training-set", "--out", folder, "--advance", "3", "--seed", "9",
		"--strength", "0")
	assert.Equal(t, 1, code)
	for _, part := range []string{"holds csv", "--seed 9", "--strength 0"} {
		assert.Contains(t, err, part)
	}
	assert.Equal(t, before, files(t, folder))
}

func TestForeignFilesAreNeverReplaced(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "thesis.txt"), []byte("years of work"), 0o644))
	code, _, err := diecast(t, "generate", "--format", "csv", "--out", folder)
	assert.Equal(t, 1, code)
	assert.Contains(t, err, "not a sample set")

	set := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "csv", "--out", set, "--scale", "0.1")
	require.NoError(t, os.WriteFile(filepath.Join(set, "truth", "notes.txt"), []byte("mine"), 0o644))
	code, _, err = diecast(t, "generate", "--format", "csv", "--out", set)
	assert.Equal(t, 1, code)
	assert.Contains(t, err, "truth/notes.txt")

	file := filepath.Join(folder, "thesis.txt")
	for _, format := range []string{"events", "csv"} {
		code, _, err = diecast(t, "generate", "--format", format, "--out", file)
		assert.Equal(t, 1, code)
		assert.Contains(t, err, file)
	}
	assert.Equal(t, map[string]string{"thesis.txt": "years of work"}, files(t, folder))
}

func TestOwnSetIsReplacedAsAWhole(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "set")
	succeed(t, "generate", "--format", "csv", "--out", folder, "--scale", "0.1")
	succeed(t, "generate", "--format", "sql", "--out", folder, "--scale", "0.1")
	assert.NotContains(t, files(t, folder), "ratings.csv")
	assert.Contains(t, files(t, folder), "classicmodels.sql")
}

func TestFailureLeavesWhatWasThere(t *testing.T) {
	parent := t.TempDir()
	folder := filepath.Join(parent, "set")
	succeed(t, "generate", "--format", "csv", "--out", folder, "--scale", "0.1")
	before := files(t, parent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	assert.Equal(t, 1, run(ctx, []string{"generate", "--format", "csv", "--out", folder, "--scale", "1"}, &out, &err))
	assert.Contains(t, err.String(), "interrupted")
	assert.Equal(t, before, files(t, parent), "and nothing temporary is left")
}

func TestEventsGoToAFileOrAPipe(t *testing.T) {
	code, out, summary := diecast(t, "generate", "--format", "events", "--out", "-", "--count", "50", "--course-fields")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 50)
	for _, line := range lines {
		_, err := activity.Decode([]byte(line))
		require.NoError(t, err)
	}
	assert.Contains(t, summary, "50")

	file := filepath.Join(t.TempDir(), "events.jsonl")
	var report struct {
		Broken map[string]int `json:"broken"`
		Files  []struct {
			Path string `json:"path"`
			Rows int    `json:"rows"`
		} `json:"files"`
	}
	require.NoError(t, json.Unmarshal([]byte(succeed(t, "--json", "generate", "--format", "events", "--out", file,
		"--count", "500", "--broken", "0.5")), &report))
	assert.Equal(t, 500, report.Files[0].Rows)
	assert.Equal(t, "events.jsonl", report.Files[0].Path)
	broken := 0
	for _, n := range report.Broken {
		broken += n
	}
	assert.InDelta(t, 250, broken, 50)
}

func TestDumpTakesThePlaceOfTheGeneratedData(t *testing.T) {
	folder := t.TempDir()
	dump, generated, read := filepath.Join(folder, "dump.sql"), filepath.Join(folder, "generated"),
		filepath.Join(folder, "read")
	succeed(t, "generate", "--format", "sql", "--out", dump)
	succeed(t, "generate", "--format", "csv", "--out", generated)
	out := succeed(t, "generate", "--format", "csv", "--out", read, "--dump", dump)
	assert.Contains(t, out, "ratings=given")
	for name, text := range files(t, generated) {
		if filepath.Ext(name) == ".csv" && filepath.Dir(name) == "." {
			assert.Equal(t, text, files(t, read)[name], name)
		}
	}
	code, _, err := diecast(t, "generate", "--format", "csv", "--out", read, "--advance", "3")
	assert.Equal(t, 1, code)
	assert.Contains(t, err, "made from a dump")

	require.NoError(t, os.WriteFile(dump, []byte("CREATE TABLE ratings (a int);"), 0o644))
	code, _, err = diecast(t, "generate", "--format", "csv", "--out", filepath.Join(folder, "bad"), "--dump", dump)
	assert.Equal(t, 1, code)
	assert.Contains(t, err, "table customers: is missing")
	assert.Contains(t, err, "table orders: is missing")
	assert.NoDirExists(t, filepath.Join(folder, "bad"))
}

func TestAllProblemsOfTheFlagsAreToldAtOnce(t *testing.T) {
	code, out, err := diecast(t, "generate", "--format", "xml", "--seed", "one", "--scale", "0", "--strength", "2",
		"--advance", "soon", "--broken", "7", "--count", "-1")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	for _, part := range []string{
		`--format "xml" is unknown`, "--out is missing", `--seed "one" is not a whole number`, "scale 0", "strength 2",
		`--advance "soon" is not an integer`, "broken share 7", "--count -1", "--broken is for --format events only",
	} {
		assert.Contains(t, err, part)
	}
	for line := range strings.Lines(err) {
		assert.True(t, strings.HasPrefix(line, "diecast generate: "), line)
	}
	assert.NotContains(t, err, "Usage")
}

func TestFlagsWithoutMeaningAreRefused(t *testing.T) {
	for name, arguments := range map[string][]string{
		"count of tables":   {"--format", "csv", "--count", "3"},
		"seed of a dump":    {"--format", "csv", "--dump", "x.sql", "--seed", "3"},
		"events of a dump":  {"--format", "events", "--dump", "x.sql"},
		"folder to a pipe":  {"--format", "csv", "--out", "-"},
		"unknown flag":      {"--format", "csv", "--speed", "3"},
		"argument":          {"csv"},
		"dump not there":    {"--format", "csv", "--dump", "/nowhere/x.sql"},
		"scale of nonsense": {"--format", "csv", "--scale", "NaN"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "set")
			code, _, err := diecast(t, append([]string{"generate", "--out", folder}, arguments...)...)
			assert.Equal(t, 1, code)
			assert.Equal(t, 1, strings.Count(err, "\n"), err)
			assert.NoFileExists(t, folder)
		})
	}
}

func TestProgressIsQuietInAPipe(t *testing.T) {
	code, _, err := diecast(t, "generate", "--format", "csv", "--out", filepath.Join(t.TempDir(), "set"), "--scale",
		"3")
	assert.Zero(t, code)
	assert.Empty(t, err)
}

func TestGrouped(t *testing.T) {
	for n, expected := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000",
		-100: "-100"} {
		assert.Equal(t, expected, grouped(n))
	}
}
