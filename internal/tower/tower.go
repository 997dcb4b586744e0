// Package tower holds an ONNX graph to what a model's manifest says of its tower, and evaluates it:
// features in, unit vectors out.
//
// Inference loads its tower here, and the operator's check of a file asks here, so that the two
// agree. It must not know customers, products or where a file comes from; which features a tower
// takes is internal/artifacts' contract.
package tower

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models"
	"diecast/internal/onnx"
)

// perRow is what onnx reports for a dimension that is as long as the batch.
const perRow = -1

// types are the graph's types for those of a manifest.
var types = map[string]onnx.Type{"string": onnx.String, "float": onnx.Float32}

// Columns are the features of some rows: each input's values by its name, all of one length.
// Texts are normalised, see activity.Normalise.
type Columns struct {
	Texts   map[string][]string
	Numbers map[string][]float32
}

// Tower is a loaded graph. It is safe for concurrent use.
type Tower struct {
	graph *onnx.Model
	// inputs are the graph's, in its order.
	inputs []onnx.Value
	output string
}

// Load compiles a graph and refuses it where it does not take and give what the contract says, or
// does not answer unseen features with unit vectors that are the same in any batch. The error names
// everything that was found.
func Load(file []byte, contract artifacts.Tower) (*Tower, error) {
	graph, err := onnx.Load(file)
	if err != nil {
		return nil, err
	}
	return Of(graph, contract)
}

// Of is Load for a graph that was compiled before.
func Of(graph *onnx.Model, contract artifacts.Tower) (*Tower, error) {
	t := &Tower{graph: graph, inputs: graph.Inputs(), output: contract.Output}
	if err := errors.Join(t.checkInputs(contract.Inputs), t.checkOutput()); err != nil {
		return nil, err
	}
	if err := t.checkUnseen(); err != nil {
		return nil, err
	}
	return t, nil
}

// checkInputs wants one value for each row: a rank of one, or of two with a second dimension of
// one.
func (t *Tower) checkInputs(want []artifacts.Input) error {
	all := make([]string, len(want))
	for i, input := range want {
		all[i] = input.Name + " " + input.Type
	}
	var problems []error
	for _, input := range want {
		at := slices.IndexFunc(t.inputs, func(v onnx.Value) bool { return v.Name == input.Name })
		if at < 0 {
			problems = append(problems, fmt.Errorf("input %s is missing: a tower takes %s", input.Name,
				strings.Join(all, ", ")))
			continue
		}
		found := t.inputs[at]
		if found.Type != types[input.Type] {
			problems = append(problems, fmt.Errorf("input %s has type %s: want %s", found.Name, found.Type, input.Type))
		}
		if !column(found.Shape, 1) && !slices.Equal(found.Shape, []int{perRow}) {
			advice := ""
			if len(found.Shape) > 0 && found.Shape[0] != perRow {
				advice = "; export with the first dimension free (torch.onnx.export: dynamic_shapes, or dynamic_axes)"
			}
			problems = append(problems, fmt.Errorf("input %s has shape %s: want one value for each row, N or N 1%s",
				found.Name, found.ShapeText(), advice))
		}
	}
	for _, input := range t.inputs {
		if !slices.ContainsFunc(want, func(w artifacts.Input) bool { return w.Name == input.Name }) {
			problems = append(problems, fmt.Errorf("input %s is unknown: a tower takes %s", input.Name,
				strings.Join(all, ", ")))
		}
	}
	return errors.Join(problems...)
}

func (t *Tower) checkOutput() error {
	var names []string
	for _, output := range t.graph.Outputs() {
		names = append(names, output.Name)
		if output.Name != t.output {
			continue
		}
		if output.Type != onnx.Float32 || !column(output.Shape, models.Dimension) {
			return fmt.Errorf("output %s has type %s and shape %s: want float and N %d", output.Name, output.Type,
				output.ShapeText(), models.Dimension)
		}
		return nil
	}
	return fmt.Errorf("output %s is missing: the graph gives %s", t.output, strings.Join(names, ", "))
}

// column says whether a shape is that of a batch of rows with so many elements.
func column(shape []int, width int) bool { return slices.Equal(shape, []int{perRow, width}) }

// checkUnseen evaluates rows that a tower must answer whatever it was trained on: texts it cannot
// know, and numbers far apart.
func (t *Tower) checkUnseen() error {
	numbers := []float32{0, 1, 50_000, 1e6}
	texts := []string{"", "unseen", "", "unseen"}
	all := Columns{Texts: map[string][]string{}, Numbers: map[string][]float32{}}
	alone := make([]Columns, len(numbers))
	for i := range alone {
		alone[i] = Columns{Texts: map[string][]string{}, Numbers: map[string][]float32{}}
	}
	for _, input := range t.inputs {
		for i := range alone {
			if input.Type == onnx.String {
				all.Texts[input.Name] = texts
				alone[i].Texts[input.Name] = texts[i : i+1]
			} else {
				all.Numbers[input.Name] = numbers
				alone[i].Numbers[input.Name] = numbers[i : i+1]
			}
		}
	}
	together, err := t.Embed(all)
	if err != nil {
		return fmt.Errorf("features that no training has seen: %w", err)
	}
	for i := range alone {
		single, err := t.Embed(alone[i])
		if err != nil {
			return fmt.Errorf("features that no training has seen: %w", err)
		}
		if difference := largestDifference(single[0], together[i]); difference > 0 {
			return fmt.Errorf("a row's vector depends on the other rows of its batch: it differs by %.3g",
				difference)
		}
	}
	return nil
}

// largestDifference is NaN-proof: vectors that Embed gave have a length of 1.
func largestDifference(a, b embeddings.Vector) float64 {
	largest := 0.0
	for i := range a {
		largest = max(largest, math.Abs(float64(a[i])-float64(b[i])))
	}
	return largest
}

// CheckGolden compares the vectors of golden inputs, all of them with the contract's names and
// types, with the outputs that training noted. The error names every vector that differs by more
// than the tolerance.
func (t *Tower) CheckGolden(golden []artifacts.GoldenValue, tolerance float64) error {
	columns := Columns{Texts: map[string][]string{}, Numbers: map[string][]float32{}}
	for _, input := range t.inputs {
		for _, example := range golden {
			switch value := example.Input[input.Name].(type) {
			case string:
				columns.Texts[input.Name] = append(columns.Texts[input.Name], value)
			case float64:
				columns.Numbers[input.Name] = append(columns.Numbers[input.Name], float32(value))
			}
		}
	}
	vectors, err := t.Embed(columns)
	if err != nil {
		return fmt.Errorf("golden inputs: %w", err)
	}
	var problems []error
	for i, example := range golden {
		worst := 0.0
		for j, want := range example.Output {
			worst = max(worst, math.Abs(float64(vectors[i][j])-want))
		}
		if worst > tolerance {
			problems = append(problems, fmt.Errorf("golden vector %d differs by %.3g, allowed is %.3g", i, worst,
				tolerance))
		}
	}
	return errors.Join(problems...)
}

// Embed returns the rows' vectors, in their order, and fails where one has no unit length.
func (t *Tower) Embed(columns Columns) ([]embeddings.Vector, error) {
	rows, err := t.rows(columns)
	if err != nil {
		return nil, err
	}
	vectors := make([]embeddings.Vector, 0, rows)
	for from := 0; from < rows; {
		to := min(rows, from+t.graph.MaxBatch())
		outputs, err := t.graph.Run(context.Background(), t.feed(columns, from, to))
		if err != nil {
			return nil, err
		}
		values := outputs[t.output].Floats()
		for ; from < to; from++ {
			vector := embeddings.Vector(values[:models.Dimension:models.Dimension])
			values = values[models.Dimension:]
			if length := math.Sqrt(embeddings.InnerProduct(vector,
				vector)); !(math.Abs(length-1) <= artifacts.UnitTolerance) {
				return nil, fmt.Errorf("the tower gave a vector of length %.6g, want 1", length)
			}
			vectors = append(vectors, vector)
		}
	}
	return vectors, nil
}

// rows is the length of the columns.
func (t *Tower) rows(columns Columns) (int, error) {
	rows := -1
	for _, input := range t.inputs {
		count := len(columns.Texts[input.Name]) + len(columns.Numbers[input.Name])
		if rows >= 0 && count != rows {
			return 0, fmt.Errorf("input %s has %d values, others have %d", input.Name, count, rows)
		}
		rows = count
	}
	return rows, nil
}

func (t *Tower) feed(columns Columns, from, to int) map[string]*onnx.Tensor {
	tensors := map[string]*onnx.Tensor{}
	for _, input := range t.inputs {
		shape := append([]int{to - from}, input.Shape[1:]...)
		if input.Type == onnx.String {
			tensors[input.Name] = onnx.Strings(shape, columns.Texts[input.Name][from:to])
		} else {
			tensors[input.Name] = onnx.Floats(shape, columns.Numbers[input.Name][from:to])
		}
	}
	return tensors
}
