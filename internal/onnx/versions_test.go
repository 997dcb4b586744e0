package onnx

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/server/servertest"
)

// TestChangesAreTheSpecifications holds the table to the ONNX project's own definitions: a new
// version of an operator must be read before its opset is let in.
func TestChangesAreTheSpecifications(t *testing.T) {
	servertest.Needed(t, "Python")
	python, err := installed.Python()
	require.NoError(t, err)
	answer, err := exec.CommandContext(t.Context(), python, "-B", filepath.Join("testdata", "oracle.py"),
		"changes").Output()
	require.NoError(t, err)
	var specification struct {
		Operators map[string][]int
		IRVersion int `json:"ir_version"`
		Opset     int
		MLOpset   int `json:"ml_opset"`
	}
	require.NoError(t, json.Unmarshal(answer, &specification))
	assert.Equal(t, MaxIRVersion, specification.IRVersion)
	assert.Equal(t, MaxOpset, specification.Opset)
	assert.Equal(t, MaxMLOpset, specification.MLOpset)
	for _, name := range Operators() {
		want := specification.Operators[name]
		for len(want) > 1 && want[1] <= MinOpset {
			want = want[1:]
		}
		assert.Equal(t, want, changes[name], name)
	}
}

func TestEveryOperatorHasItsChangesAndOneFormInEachOpset(t *testing.T) {
	assert.Len(t, changes, len(Operators()))
	for _, name := range Operators() {
		assert.NotEmpty(t, changes[name], name)
	}
	for i := range operators {
		op := &operators[i]
		low, high := opsetBounds(op.domain)
		for opset := low; opset <= high; opset++ {
			fits := 0
			for j := range operators {
				other := &operators[j]
				if other.title() == op.title() && opset >= int64(other.since) &&
					(other.until == 0 || opset <= int64(other.until)) {
					fits++
				}
			}
			assert.LessOrEqual(t, fits, 1, "%s in opset %d", op.title(), opset)
			found, _, err := form(op.domain, op.name, opset)
			assert.Equal(t, fits == 1 && versionOf(op.title(), opset) > 0, err == nil, "%s in opset %d", op.title(),
				opset)
			assert.Equal(t, err == nil, found != nil)
		}
		// A bound lies where the specification changed something.
		for _, bound := range []int{op.since, op.until + 1} {
			assert.True(t, bound <= 1 || slices.Contains(changes[op.title()], bound), "%s: %d", op.title(), bound)
		}
	}
}

func TestSoftmaxMeansSomethingElseBefore13(t *testing.T) {
	for _, name := range []string{"Softmax", "LogSoftmax"} {
		for opset := int64(MinOpset); opset <= MaxOpset; opset++ {
			_, kind, err := form("", name, opset)
			if opset < 13 {
				assert.ErrorContains(t, err, "where it means something else (13 to 28 are supported)")
				assert.Equal(t, unsupportedOpset, kind)
			} else {
				assert.NoError(t, err)
			}
		}
	}
}

func TestVersionInForce(t *testing.T) {
	assert.Equal(t, 13, versionOf("Gemm", 17))
	assert.Equal(t, 11, versionOf("Gemm", 12))
	assert.Equal(t, 0, versionOf("Gelu", 19))
	assert.Equal(t, 0, versionOf("Conv", 17))
}

// imported are opset imports: domain, version, domain, version ...
func (g *graph) imported(pairs ...any) *graph {
	for i := 0; i < len(pairs); i += 2 {
		domain, version := pairs[i].(string), pairs[i+1].(int)
		g.trailing = bytesField(g.trailing, 8, varintField(stringField(nil, 1, domain), 2, int64(version)))
	}
	return g
}

func TestImportsThatNoNodeUsesAreHarmless(t *testing.T) {
	g := relu().imported("com.microsoft", 1, "ai.onnx.training", 1, "", 17, "pkg.onnxscript.torch_lib", -5)
	g.mlOpset = 99
	_, err := Load(g.bytes())
	assert.NoError(t, err)
}

func TestNodesBindToTheHighestImportOfTheirDomain(t *testing.T) {
	softmax := func() *graph {
		return newGraph().input("x", Float32, batch, 3).node("", "Softmax", []string{"x"}, "y").output("y", Float32,
			batch, 3)
	}
	for name, g := range map[string]*graph{
		"the highest last":            softmax().in(11).imported("", 17),
		"the highest first":           softmax().in(17).imported("", 11, "", 9),
		"under both names of default": softmax().in(11).imported("ai.onnx", 13),
		"many times the same":         softmax().imported("", 17, "", 17, "ai.onnx", 17),
	} {
		_, err := Load(g.bytes())
		assert.NoError(t, err, name)
	}
	_, err := Load(softmax().in(11).imported("", 12, "ai.onnx", 9).bytes())
	assert.ErrorContains(t, err, "operator Softmax is not supported in opset 12")
	_, err = Load(softmax().imported("ai.onnx", 29).bytes())
	assert.ErrorContains(t, err, "operator Softmax is not supported in opset 29", "even where that one is too new")
}
