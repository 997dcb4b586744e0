package handler

import (
	"context"
	"errors"
	"fmt"
	"math"

	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/models"
	"diecast/internal/onnx"
)

// perUser is what onnx reports for a dimension that is as long as the batch.
const perUser = -1

// tower evaluates a user tower.
type tower struct {
	graph  *onnx.Model
	inputs []onnx.Value
	output string
}

// newTower compiles a user tower and refuses it unless it takes and gives what the manifest says
// and reproduces the golden vectors. Its error names everything that differs.
func newTower(file []byte, manifest artifacts.Manifest) (*tower, error) {
	graph, err := onnx.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", artifacts.UserTower, err)
	}
	t := &tower{graph: graph, inputs: graph.Inputs(), output: manifest.Towers.User.Output}
	if err := errors.Join(t.checkInputs(manifest.Towers.User.Inputs), t.checkOutput()); err != nil {
		return nil, fmt.Errorf("%s: %w", artifacts.UserTower, err)
	}
	if err := t.checkGolden(manifest.Golden); err != nil {
		return nil, fmt.Errorf("%s: %w", artifacts.UserTower, err)
	}
	return t, nil
}

// checkInputs wants one value for each user: a rank of one, or of two with a second dimension of
// one.
func (t *tower) checkInputs(want []artifacts.Input) error {
	types := map[string]onnx.Type{}
	for _, input := range want {
		types[input.Name] = map[string]onnx.Type{"string": onnx.String, "float": onnx.Float32}[input.Type]
	}
	var problems []error
	for _, input := range t.inputs {
		if types[input.Name] != input.Type {
			problems = append(problems, fmt.Errorf("input %s of type %s is not in the manifest", input.Name,
				input.Type))
		}
		if !column(input.Shape, 1) && !(len(input.Shape) == 1 && input.Shape[0] == perUser) {
			problems = append(problems, fmt.Errorf("input %s has shape %v: want one value for each user", input.Name,
				input.Shape))
		}
	}
	if len(t.inputs) != len(want) {
		problems = append(problems, fmt.Errorf("%d inputs: the manifest has %d", len(t.inputs), len(want)))
	}
	return errors.Join(problems...)
}

func (t *tower) checkOutput() error {
	for _, output := range t.graph.Outputs() {
		if output.Name != t.output {
			continue
		}
		if output.Type != onnx.Float32 || !column(output.Shape, models.Dimension) {
			return fmt.Errorf("output %s has type %s and shape %v: want %d floats for each user", output.Name,
				output.Type, output.Shape, models.Dimension)
		}
		return nil
	}
	return fmt.Errorf("there is no output %s", t.output)
}

// column says whether a shape is that of a batch of rows with so many elements.
func column(shape []int, width int) bool {
	return len(shape) == 2 && shape[0] == perUser && shape[1] == width
}

func (t *tower) checkGolden(golden *artifacts.Golden) error {
	users := make([]activity.Features, len(golden.User))
	for i, example := range golden.User {
		city, _ := example.Input["city"].(string)
		country, _ := example.Input["country"].(string)
		limit, _ := example.Input["credit_limit"].(float64)
		users[i] = activity.Features{City: city, Country: country, CreditLimit: limit}
	}
	vectors, err := t.Embed(users)
	if err != nil {
		return fmt.Errorf("golden inputs: %w", err)
	}
	var problems []error
	for i, example := range golden.User {
		worst := 0.0
		for j, want := range example.Output {
			worst = max(worst, math.Abs(float64(vectors[i][j])-want))
		}
		if worst > golden.Tolerance {
			problems = append(problems, fmt.Errorf("golden vector %d differs by %.3g, allowed is %.3g", i, worst,
				golden.Tolerance))
		}
	}
	return errors.Join(problems...)
}

// Embed returns the vectors of users, in their order.
func (t *tower) Embed(users []activity.Features) ([]embeddings.Vector, error) {
	vectors := make([]embeddings.Vector, 0, len(users))
	for len(users) > 0 {
		batch := users[:min(len(users), t.graph.MaxBatch())]
		users = users[len(batch):]
		outputs, err := t.graph.Run(context.Background(), t.feed(batch))
		if err != nil {
			return nil, fmt.Errorf("user tower: %w", err)
		}
		values := outputs[t.output].Floats()
		for i := range batch {
			vector := embeddings.Vector(values[i*models.Dimension : (i+1)*models.Dimension])
			if length := math.Sqrt(embeddings.InnerProduct(vector,
				vector)); !(math.Abs(length-1) <= artifacts.UnitTolerance) {
				return nil, fmt.Errorf("user tower: it gave a vector of length %v, want 1", length)
			}
			vectors = append(vectors, vector)
		}
	}
	return vectors, nil
}

func (t *tower) feed(users []activity.Features) map[string]*onnx.Tensor {
	cities, countries, limits := make([]string, len(users)), make([]string, len(users)), make([]float32, len(users))
	for i, user := range users {
		cities[i], countries[i], limits[i] = user.City, user.Country, float32(user.CreditLimit)
	}
	tensors := map[string]*onnx.Tensor{}
	for _, input := range t.inputs {
		shape := append([]int{len(users)}, input.Shape[1:]...)
		switch input.Name {
		case "city":
			tensors[input.Name] = onnx.Strings(shape, cities)
		case "country":
			tensors[input.Name] = onnx.Strings(shape, countries)
		case "credit_limit":
			tensors[input.Name] = onnx.Floats(shape, limits)
		}
	}
	return tensors
}
