package tower

import (
	"diecast/internal/artifacts"
	"diecast/internal/onnx"
)

// Inspection is what a file is, and everything that keeps it from being a tower.
type Inspection struct {
	onnx.Description
	// Form is the tower that it was held to: the user tower's, unless its inputs are rather an item
	// tower's.
	Form artifacts.Tower
	// MaxBatch is how many rows one evaluation takes at most; 0 where the graph is refused.
	MaxBatch int
	// Problems are those of the graph, or else of the tower; none for a file that is accepted.
	Problems []error
}

// Inspect reads a file and holds it to what a tower must be. With a manifest, it is also held to
// the golden vectors there.
func Inspect(file []byte, manifest *artifacts.Manifest) Inspection {
	description, graph := onnx.Describe(file)
	found := Inspection{Description: description, Form: formOf(description.Inputs), Problems: description.Problems}
	if graph == nil {
		return found
	}
	found.MaxBatch = graph.MaxBatch()
	loaded, err := Of(graph, found.Form)
	if err == nil && manifest != nil {
		golden := manifest.Golden.User
		if found.Form.Path == artifacts.ItemTower {
			golden = manifest.Golden.Item
		}
		err = loaded.CheckGolden(golden, manifest.Golden.Tolerance)
	}
	found.Problems = apart(err)
	return found
}

// formOf guesses which tower the inputs are meant for.
func formOf(inputs []onnx.Declaration) artifacts.Tower {
	among := func(form artifacts.Tower) (count int) {
		for _, want := range form.Inputs {
			for _, input := range inputs {
				if input.Name == want.Name {
					count++
				}
			}
		}
		return count
	}
	if among(artifacts.ItemForm()) > among(artifacts.UserForm()) {
		return artifacts.ItemForm()
	}
	return artifacts.UserForm()
}

// apart takes joined errors apart, but not those that a message is wrapped around.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, apart(one)...)
	}
	return all
}
