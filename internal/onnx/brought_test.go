package onnx

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func brought(t *testing.T, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(broughtFile(name))
	require.NoError(t, err)
	return file
}

func loadBrought(t *testing.T, name string) *Model {
	t.Helper()
	m, err := Load(brought(t, name))
	require.NoError(t, err)
	return m
}

// answersOf evaluates a model on the inputs that another model's cases have.
func answersOf(t *testing.T, m *Model, cases string) []map[string]*Tensor {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "brought", cases, "cases.jsonl"))
	require.NoError(t, err)
	defer file.Close()
	var answers []map[string]*Tensor
	readCases(t, file, func(c oracleCase) {
		out, err := m.Run(t.Context(), tensors(t, c.Inputs))
		require.NoError(t, err)
		answers = append(answers, out)
	})
	require.NotEmpty(t, answers)
	return answers
}

// What else these models must answer is in TestExportedModelsAgreeWithONNXRuntime.
func TestMergedGraphsAnswerAsIfEachDomainWereImportedOnce(t *testing.T) {
	assert.Equal(t, answersOf(t, loadBrought(t, "merged_one_import"), "merged"),
		answersOf(t, loadBrought(t, "merged"), "merged"))
}

func TestTheNameOfALeadingFreeDimensionMeansNothing(t *testing.T) {
	assert.Equal(t, answersOf(t, loadBrought(t, "keras_one_name"), "keras_two_inputs"),
		answersOf(t, loadBrought(t, "keras_two_inputs"), "keras_two_inputs"))
}

// Some exporters write -1, and not a name or nothing, for a dimension that is free.
func TestALeadingDimensionOfMinusOneIsTheBatch(t *testing.T) {
	relu := func(first int64) []byte {
		shape := bytesField(bytesField(nil, 1, varintField(nil, 1, first)), 1, varintField(nil, 1, 2))
		tensor := bytesField(varintField(nil, 1, typeCodes[Float32]), 2, shape)
		g := newGraph().node("", "Relu", []string{"x"}, "y").output("y", Float32, batch, 2)
		g.body = bytesField(g.body, 11, bytesField(stringField(nil, 1, "x"), 2, bytesField(nil, 1, tensor)))
		return g.bytes()
	}
	m, err := Load(relu(-1))
	require.NoError(t, err)
	assert.Equal(t, []int{-1, 2}, m.Inputs()[0].Shape)
	_, err = Load(relu(-2))
	assert.ErrorContains(t, err, `input "x": dimension 0 has the size -2`)
}

func TestFreeDimensionsOfOtherNamesStillMustAgree(t *testing.T) {
	m := loadBrought(t, "keras_two_inputs")
	require.Len(t, m.Inputs(), 2)
	inputs := map[string]*Tensor{}
	for i, in := range m.Inputs() {
		require.Equal(t, -1, in.Shape[0])
		shape := append([]int{2 + i}, in.Shape[1:]...)
		inputs[in.Name] = Floats(shape, make([]float32, elements(shape)))
	}
	_, err := m.Run(t.Context(), inputs)
	assert.ErrorContains(t, err, "have batches of 2 and 3")
}

func TestScalerSubtractsDoublesBeforeItRounds(t *testing.T) {
	// Offsets and values that are the same number in float32.
	g := newGraph().input("x", Float64, batch, 2).node(mlDomain, "Scaler", []string{"x"}, "y",
		floatsAttribute("offset", 1.7e9, 16777216), floatsAttribute("scale", 0.5, 2)).output("y", Float32, batch, 2)
	m, err := Load(g.bytes())
	require.NoError(t, err)
	offset := float64(float32(1.7e9))
	out, err := m.Run(t.Context(), map[string]*Tensor{"x": Doubles([]int{2, 2},
		[]float64{offset + 3, 16777217, offset - 1.25, 16777215.5})})
	require.NoError(t, err)
	assert.Equal(t, []float32{1.5, 2, -0.625, -1}, out["y"].Floats())
}

func TestFirstLineNamesTheOperatorThenTheOpsetThenHowToExport(t *testing.T) {
	_, err := Load(brought(t, "lightgbm"))
	require.Error(t, err)
	first, _, _ := strings.Cut(err.Error(), "\n")
	assert.Regexp(t, `operator ai\.onnx\.ml\.TreeEnsemble\w+ is not supported \(opset \d+ of ai\.onnx\.ml\); `+
		`trees and support vector machines are not evaluated: export a perceptron$`, first)

	// Whatever else is wrong, and wherever the operator stands.
	g := relu().in(12).node("", "Softmax", []string{"x"}, "s").node("", "Clip", []string{"nothing"}, "c").
		node("", "Conv", []string{"s"}, "z")
	_, err = Load(g.bytes())
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3)
	assert.Regexp(t, `^load ONNX model: node "make z" \(Conv\): operator Conv is not supported \(opset 12\); export`,
		lines[0])
	assert.Regexp(t, `^node "make s" \(Softmax\): operator Softmax is not supported in opset 12, .*; export with`,
		lines[1])
	assert.Regexp(t, `^node "make c" \(Clip\): input "nothing" is computed by no earlier node$`, lines[2])
}

func TestWeightsInAnotherFileAreToldOnceWithThatFile(t *testing.T) {
	_, err := Load(brought(t, "torch_external"))
	require.ErrorContains(t, err, `the weights are in another file, "tower_dynshape.onnx.data"; export with `+
		`torch.onnx.export(..., external_data=False)`)
	assert.NotContains(t, err.Error(), "\n", "one line tells it")
	elsewhere := func(name string) []byte {
		entry := stringField(stringField(nil, 1, "location"), 2, "model.onnx.data")
		offset := stringField(stringField(nil, 1, "offset"), 2, "64")
		b := bytesField(bytesField(tensorProto(name, Floats([]int{3}, nil)), 13, entry), 13, offset)
		return varintField(b, 14, 1)
	}
	g := relu()
	g.body = bytesField(bytesField(g.body, 5, elsewhere("w")), 5, elsewhere("b"))
	g.node("", "Add", []string{"x", "w"}, "z").node("", "Add", []string{"z", "b"}, "v").output("v", Float32, batch, 3)
	_, err = Load(g.bytes())
	assert.EqualError(t, err, `load ONNX model: initializer "w": external data is not supported: the weights are in `+
		`another file, "model.onnx.data"; export with torch.onnx.export(..., external_data=False), or, with that file `+
		`beside the model, write one file with onnx.save(onnx.load(path), path)`)
}

func TestFilesOfAnotherKindAreNamed(t *testing.T) {
	for want, file := range map[string]string{
		"the file is no ONNX model but empty":         "",
		"the file is no ONNX model but a zip archive": "PK\x03\x04\x14\x00",
		"compressed by gzip":                          "\x1f\x8b\x08\x00",
		"HDF5":                                        "\x89HDF\r\n\x1a\n",
		"tf2onnx --tflite":                            "\x1c\x00\x00\x00TFL3\x14",
		"ONNX Runtime's own format":                   "\x18\x00\x00\x00ORTM\x14",
		"git lfs pull":                                "version https://git-lfs.github.com/spec/v1\n",
		"was it downloaded whole":                     "<!DOCTYPE html>",
		"ModelProto: ":                                "no ONNX at all",
	} {
		_, err := Load([]byte(file))
		assert.ErrorContains(t, err, want)
	}
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		_, err := Load([]byte(mark + "text"))
		assert.ErrorContains(t, err, "was it downloaded whole")
	}
}

func TestStepsBeforeTheModelAreToldWhatToPutInTheirPlace(t *testing.T) {
	for name, want := range map[string]string{
		"Imputer": "fill missing values before the model", "Binarizer": "a one-hot encoder in its place",
	} {
		_, err := Load(newGraph().input("x", Float32, batch, 2).node(mlDomain, name, []string{"x"}, "y").
			output("y", Float32, batch, 2).bytes())
		assert.ErrorContains(t, err, want)
	}
}

func TestDescriptionOfAFileThatIsRefused(t *testing.T) {
	d, m := Describe(brought(t, "lightgbm"))
	assert.Nil(t, m)
	require.NotEmpty(t, d.Problems)
	assert.NotEmpty(t, d.Inputs)
	assert.NotEmpty(t, d.Outputs)
	assert.Contains(t, d.Opsets, Opset{"ai.onnx.ml", 1, true})
	for _, operator := range d.Operators {
		if strings.HasPrefix(operator.Name, "ai.onnx.ml.TreeEnsemble") {
			assert.Equal(t, 0, operator.Version)
		}
	}
}

func TestDescriptionOfAFileThatIsTaken(t *testing.T) {
	g := relu().in(14).imported("", 13).node("", "Relu", []string{"y"}, "z").input("w", Float32, 1, 3).
		constant("w", Floats([]int{1, 3}, []float32{1, 2, 3})).node("", "Add", []string{"z", "w"}, "v").
		output("v", Float32, batch, 3)
	d, m := Describe(g.bytes())
	require.NotNil(t, m)
	assert.Equal(t, Description{
		IRVersion: 8,
		Opsets:    []Opset{{"", 14, true}, {"ai.onnx.ml", 3, false}},
		Operators: []OperatorUse{{"Add", 14, 1}, {"Relu", 14, 2}},
		Inputs:    []Declaration{{"x", "float", []string{"N", "3"}}},
		Outputs: []Declaration{{"y", "float", []string{"N", "3"}},
			{"v", "float", []string{"N", "3"}}},
	}, d)
}

// TestTheDocsCountOperatorsAndLines holds docs/dependencies.md to what the evaluator costs; lines
// are rounded there.
func TestTheDocsCountOperatorsAndLines(t *testing.T) {
	docs, err := os.ReadFile("../../docs/dependencies.md")
	require.NoError(t, err)
	told := regexp.MustCompile(`list of (\d+) operators, of opsets (\d+) to (\d+) and ai\.onnx\.ml (\d+) to (\d+)\s` +
		`[^.]*\. It is ([\d,]+) lines of Go, with ([\d,]+) lines of tests`).FindSubmatch(docs)
	require.NotNil(t, told)
	numbers := make([]int, len(told)-1)
	for i := range numbers {
		numbers[i], err = strconv.Atoi(strings.ReplaceAll(string(told[i+1]), ",", ""))
		require.NoError(t, err)
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	code, tests := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if lines := strings.Count(string(text), "\n"); strings.HasSuffix(file, "_test.go") {
			tests += lines
		} else {
			code += lines
		}
	}
	t.Logf("%d operators, %d lines, %d lines of tests", len(Operators()), code, tests)
	assert.Equal(t, []int{len(Operators()), MinOpset, MaxOpset, MinMLOpset, MaxMLOpset}, numbers[:5])
	assert.InEpsilon(t, code, numbers[5], 0.05)
	assert.InEpsilon(t, tests, numbers[6], 0.05)
}
