package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// module makes the working directory a Go module with one benchmark.
func module(t *testing.T, body string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":       "module measured\n\ngo 1.26\n",
		"some_test.go": "package measured\n\nimport \"testing\"\n\nvar calls int\n\n" + body,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	t.Chdir(dir)
}

func TestBenchmark_thatFailsInItsSecondRunFailsTheCommand(t *testing.T) {
	module(t, `func BenchmarkSome(b *testing.B) {
	b.Run("second", func(b *testing.B) {
		for b.Loop() {
		}
		if calls++; calls > 1 {
			b.Fatal("wrong")
		}
	})
}
`)
	var output bytes.Buffer
	err := benchmark(t.Context(), []string{"."}, &output)
	require.ErrorContains(t, err, "benchmarks failed: BenchmarkSome/second")
	assert.Contains(t, output.String(), "wrong", "what it printed is shown")
}

func TestBenchmark_thatDoesNotCompileFailsTheCommand(t *testing.T) {
	module(t, "func BenchmarkSome(b *testing.B) { undefined() }\n")
	require.Error(t, benchmark(t.Context(), []string{"."}, &bytes.Buffer{}))
}

func TestBenchmark_thatPasses(t *testing.T) {
	module(t, "func BenchmarkSome(b *testing.B) {\n\tfor b.Loop() {\n\t}\n}\n")
	var output bytes.Buffer
	require.NoError(t, benchmark(t.Context(), []string{"."}, &output))
	assert.Contains(t, output.String(), "ns/op")
}
