package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/onnx"
	shipped "diecast/training/artifacts"
)

// shippedFile copies a file of the shipped model and gives its path.
func shippedFile(t *testing.T, name string) string {
	t.Helper()
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	data, err := fs.ReadFile(folder, name)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), filepath.Base(name))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func check(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"model", "check"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestModelCheck_acceptsTheShippedTowers(t *testing.T) {
	manifest := shippedFile(t, artifacts.ManifestName)
	for name, half := range halves {
		code, out, problems := check(t, shippedFile(t, name), "--manifest", manifest)
		assert.Zero(t, code, problems)
		assert.Empty(t, problems)
		assert.Contains(t, out, "Accepted    as the "+half+" tower of a model\n")
		assert.Regexp(t, `(?m)^Gives +embedding float \[N 32\]$`, out)
	}
	_, out, _ := check(t, shippedFile(t, artifacts.UserTower))
	assert.Regexp(t, `(?m)^Takes +city string \[N 1\]\n +country string \[N 1\]\n +credit_limit float \[N 1\]$`, out)
	assert.Regexp(t, `(?m)^Opsets +default 17\n +ai\.onnx\.ml 3$`, out)
}

func TestModelCheck_tellsAllThatSpeaksAgainstAModel(t *testing.T) {
	const lightgbm = "../../internal/onnx/testdata/brought/lightgbm/model.onnx"
	code, out, problems := check(t, lightgbm)
	assert.Equal(t, 1, code)
	assert.Regexp(t, `(?m)^Refused +as the user tower of a model$`, out)
	assert.Regexp(t, `(?m)^Operators .*TreeEnsemble\w+ \(not supported\)`, out)
	assert.Regexp(t, `^diecast model check: node "\w+" \(ai\.onnx\.ml\.TreeEnsemble\w+\): operator`, problems)

	code, out, problems = check(t, "--json", "../../internal/onnx/testdata/brought/keras_two_inputs/model.onnx")
	assert.Equal(t, 1, code)
	var summary modelSummary
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	assert.False(t, summary.Accepted)
	assert.Equal(t, "user", summary.Tower)
	assert.Len(t, summary.Takes, 2)
	assert.Greater(t, summary.MaxBatch, 1)
	assert.Equal(t, len(summary.Problems), strings.Count(problems, "diecast model check: "))
	for _, missing := range []string{
		"input city is missing", "input country is missing", "output embedding is missing",
	} {
		assert.Contains(t, problems, missing)
	}
}

func TestModelCheck_refusesWhatItCannotRead(t *testing.T) {
	code, out, problems := check(t, "absent.onnx", "--manifest", shippedFile(t, artifacts.UserTower))
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	assert.Contains(t, problems, "absent.onnx: no such file")
	assert.Contains(t, problems, "--manifest")

	large := filepath.Join(t.TempDir(), "large.onnx")
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, onnx.MaxFileBytes+1))
	_, _, problems = check(t, large)
	assert.Contains(t, problems, "has more than 67,108,864 bytes")

	text := filepath.Join(t.TempDir(), "page.onnx")
	require.NoError(t, os.WriteFile(text, []byte("<html>"), 0o600))
	code, out, problems = check(t, text)
	assert.Equal(t, 1, code)
	assert.Contains(t, out, "page.onnx, 6 bytes")
	assert.Contains(t, problems, "the file is no ONNX model but text")
}
