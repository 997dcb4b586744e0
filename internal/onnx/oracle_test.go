package onnx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/local/server/servertest"
	"diecast/internal/surroundings"
)

// oracleCase is one line of the oracle's: a model, inputs and what ONNX Runtime or the ONNX project
// answers.
type oracleCase struct {
	Name        string
	Model       []byte
	Inputs      map[string]wireTensor
	Outputs     map[string]wireTensor
	Tolerance   float64
	UnknownType bool `json:"unknown_type"`
	Invalid     bool
}

type wireTensor struct {
	Type    string
	Shape   []int
	Bytes   string
	Strings []string
}

func (w wireTensor) tensor(t testing.TB) *Tensor {
	t.Helper()
	if w.Type == "string" {
		return Strings(w.Shape, w.Strings)
	}
	raw, err := base64.StdEncoding.DecodeString(w.Bytes)
	require.NoError(t, err)
	kind := Type(slices.Index(typeNames[:], w.Type))
	out := &Tensor{kind: kind, shape: w.Shape}
	require.NoError(t, out.readRaw(raw, len(raw)/rawSizes[kind]))
	return out
}

func tensors(t testing.TB, wire map[string]wireTensor) map[string]*Tensor {
	t.Helper()
	out := make(map[string]*Tensor, len(wire))
	for name, w := range wire {
		out[name] = w.tensor(t)
	}
	return out
}

// askOracle runs the oracle and calls visit for each of its cases.
func askOracle(t *testing.T, stdin any, visit func(c oracleCase), arguments ...string) {
	t.Helper()
	servertest.Needed(t, "Python")
	question, err := json.Marshal(stdin)
	require.NoError(t, err)
	python, err := installed.Python()
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), python, append([]string{filepath.Join("testdata", "oracle.py")},
		arguments...)...)
	command.Env = surroundings.List(surroundings.Bare(t.TempDir()), map[string]string{"PYTHONDONTWRITEBYTECODE": "1"})
	command.Stdin = bytes.NewReader(question)
	var problems bytes.Buffer
	command.Stderr = &problems
	answer, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start(), "the oracle needs the Python environment of `make setup`")
	readCases(t, answer, visit)
	require.NoError(t, command.Wait(), problems.String())
}

func readCases(t *testing.T, r io.Reader, visit func(c oracleCase)) {
	t.Helper()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var c oracleCase
			require.NoError(t, json.Unmarshal(line, &c))
			visit(c)
		}
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}

// difference is what is wrong with a tensor, or nothing. Floats may differ by tolerance, relatively
// and absolutely.
func difference(want, got *Tensor, tolerance float64) string {
	if got == nil {
		return "missing"
	}
	if want.kind != got.kind || !slices.Equal(want.shape, got.shape) && len(want.shape)+len(got.shape) > 0 {
		return fmt.Sprintf("%s%v instead of %s%v", got.kind, got.shape, want.kind, want.shape)
	}
	near := func(i int, a, b float64) string {
		if a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= tolerance*(1+math.Abs(a)) {
			return ""
		}
		return fmt.Sprintf("element %d is %v instead of %v", i, b, a)
	}
	for i := range want.float32s {
		if d := near(i, float64(want.float32s[i]), float64(got.float32s[i])); d != "" {
			return d
		}
	}
	for i := range want.float64s {
		if d := near(i, want.float64s[i], got.float64s[i]); d != "" {
			return d
		}
	}
	if !slices.Equal(want.int32s, got.int32s) || !slices.Equal(want.int64s, got.int64s) ||
		!slices.Equal(want.bools, got.bools) || !slices.Equal(want.strings, got.strings) {
		return fmt.Sprintf("%v instead of %v", got, want)
	}
	return ""
}

// defaultTolerance is for float32 sums of some tens of terms in another order.
const defaultTolerance = 1e-5

func verify(t *testing.T, m *Model, c oracleCase) {
	t.Helper()
	got, err := m.Run(t.Context(), tensors(t, c.Inputs))
	if !assert.NoError(t, err, c.Name) {
		return
	}
	tolerance := c.Tolerance
	if tolerance == 0 {
		tolerance = defaultTolerance
	}
	for name, want := range tensors(t, c.Outputs) {
		assert.Empty(t, difference(want, got[name], tolerance), "%s: output %q", c.Name, name)
	}
	assert.Len(t, got, len(c.Outputs), c.Name)
}

// exported are the models that others' exporters wrote (see export_torch.py and export_sklearn.py),
// and those that users brought, with what optimisers and merging had made of them.
func exported(t testing.TB) []string {
	t.Helper()
	var folders []string
	for _, exporter := range []string{"torch", "sklearn", "brought"} {
		found, err := filepath.Glob(filepath.Join("testdata", exporter, "*", "model.onnx"))
		require.NoError(t, err)
		require.NotEmpty(t, found)
		folders = append(folders, found...)
	}
	return slices.DeleteFunc(folders, func(path string) bool {
		return path == broughtFile("lightgbm") || path == broughtFile("torch_external")
	})
}

func broughtFile(name string) string { return filepath.Join("testdata", "brought", name, "model.onnx") }

func TestExportedModelsAgreeWithONNXRuntime(t *testing.T) {
	for _, path := range exported(t) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			file, err := os.ReadFile(path)
			require.NoError(t, err)
			m, err := Load(file)
			require.NoError(t, err)
			answers, err := os.Open(filepath.Join(filepath.Dir(path), "cases.jsonl"))
			require.NoError(t, err)
			defer answers.Close()
			cases := 0
			readCases(t, answers, func(c oracleCase) {
				verify(t, m, c)
				cases++
			})
			assert.Equal(t, 3, cases)
		})
	}
}

// TestRandomModelsAgreeWithONNXRuntime asks a live ONNX Runtime about models drawn here and now.
func TestRandomModelsAgreeWithONNXRuntime(t *testing.T) {
	for _, seed := range []string{"1", "2", "3"} {
		t.Run("seed "+seed, func(t *testing.T) {
			t.Parallel()
			cases := 0
			askOracle(t, nil, func(c oracleCase) {
				cases++
				m, err := Load(c.Model)
				if assert.NoError(t, err, c.Name) {
					verify(t, m, c)
				}
			}, "random", "--seed", seed, "--count", "400")
			assert.Greater(t, cases, 400)
		})
	}
}

// refusedNodeTests are the ONNX project's node tests of listed operators that are refused at load,
// by the start of their name, with a piece of the error. A test that is refused without being
// listed fails, and so does a listed one that is not refused, or an entry that meets no test.
var refusedNodeTests = []struct{ name, because string }{
	// Training is out.
	{"test_batchnorm_epsilon_training_mode/", "it has 3 outputs, not 1"},
	{"test_batchnorm_example_training_mode/", "it has 3 outputs, not 1"},
	{"test_training_dropout", "training is not supported"},
	// No exporter of a perceptron reduces truth values.
	{"test_reduce_max_bool_inputs/", "has type bool"},
	{"test_reduce_max_empty_set_bool/", "has type bool"},
	{"test_reduce_min_bool_inputs/", "has type bool"},
}

// oldSoftmax are those of Softmax and LogSoftmax in opsets in which they mean something else.
var oldSoftmax = regexp.MustCompile(`^test_(log)?softmax_.*/opset ([7-9]|1[0-2])$`)

func TestONNXNodeTests(t *testing.T) {
	met := make([]int, len(refusedNodeTests))
	evaluated, foreign := 0, 0
	operators := make(map[string]bool)
	askOracle(t, Operators(), func(c oracleCase) {
		m, err := Load(c.Model)
		if c.Invalid {
			assert.Error(t, err, "%s is in no supported opset", c.Name)
			return
		}
		if c.UnknownType {
			foreign++
			assert.ErrorContains(t, err, "not supported", "%s has types that are not ours", c.Name)
			return
		}
		if oldSoftmax.MatchString(c.Name) {
			assert.ErrorContains(t, err, "where it means something else", c.Name)
			return
		}
		for i, refusal := range refusedNodeTests {
			if strings.HasPrefix(c.Name, refusal.name) {
				met[i]++
				assert.ErrorContains(t, err, refusal.because, c.Name)
				return
			}
		}
		if assert.NoError(t, err, c.Name) {
			verify(t, m, c)
			evaluated++
			for _, n := range readModel(c.Model, &problems{}).graph.nodes {
				operators[n.title()] = true
			}
		}
	}, "node")
	for i, refusal := range refusedNodeTests {
		assert.Positive(t, met[i], "no node test is named %q", refusal.name)
	}
	t.Logf("%d evaluations agree; %d have foreign types", evaluated, foreign)
	assert.Greater(t, evaluated, 1000)
	// The ONNX project has no node test of these; the oracle's random models have.
	untested := []string{"ai.onnx.ml.Normalizer", "ai.onnx.ml.OneHotEncoder", "ai.onnx.ml.Scaler"}
	for _, name := range Operators() {
		assert.Equal(t, !slices.Contains(untested, name), operators[name], "node tests of %s", name)
	}
}

func TestEqualInputsGiveEqualBits(t *testing.T) {
	tower := loadTower(t)
	inputs := towerInputs(100)
	first, err := tower.Run(context.Background(), inputs)
	require.NoError(t, err)
	for row := range 100 {
		one, err := tower.Run(context.Background(), map[string]*Tensor{
			"city":         Strings([]int{1, 1}, inputs["city"].strings[row:row+1]),
			"country":      Strings([]int{1, 1}, inputs["country"].strings[row:row+1]),
			"credit_limit": Floats([]int{1, 1}, inputs["credit_limit"].float32s[row:row+1]),
		})
		require.NoError(t, err)
		assert.Equal(t, bits(first["embedding"].float32s[row*32:(row+1)*32]), bits(one["embedding"].float32s), "row %d",
			row)
	}
}

func bits(s []float32) []byte {
	b := make([]byte, 0, 4*len(s))
	for _, v := range s {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
