package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"diecast/internal/artifacts"
	"diecast/internal/onnx"
	"diecast/internal/tower"
)

func modelCommand(user *terminal) *cobra.Command {
	command := &cobra.Command{Use: "model", Short: "Look at models that you bring", Args: cobra.NoArgs}
	command.AddCommand(modelCheckCommand(user))
	return command
}

func modelCheckCommand(user *terminal) *cobra.Command {
	var manifest string
	command := &cobra.Command{
		Use:   "check FILE",
		Short: "Tell what an ONNX model takes and gives, and whether inference would accept it as a tower",
		Long: fmt.Sprintf(`Tell what an ONNX model takes and gives, and whether inference would accept it as a tower.

A tower takes one value for each row, under these names, and gives %s: a float vector of unit length for each row.

  user tower  %s
  item tower  %s

Texts come trimmed and case-folded, and ones that no training has seen must be answered, too. Encoding and scaling lie
inside the graph. Which operators may be in it is in internal/onnx/doc.go. The command ends with 0 for a model that
would be accepted, and with 1 after everything that speaks against it. Nothing is changed or sent.`,
			artifacts.TowerOutput, inputTexts(artifacts.UserInputs()), inputTexts(artifacts.ItemInputs())),
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			return checkModel(user, arguments[0], manifest)
		},
	}
	command.Flags().StringVar(&manifest, "manifest", "",
		"also reproduce the golden vectors in this manifest.json, as inference does")
	return command
}

func inputTexts(inputs []artifacts.Input) string {
	texts := make([]string, len(inputs))
	for i, input := range inputs {
		texts[i] = input.Name + " " + input.Type
	}
	return strings.Join(texts, ", ")
}

func checkModel(user *terminal, path, manifestPath string) error {
	var found problems
	file, err := readAtMost(path, onnx.MaxFileBytes)
	found.add(err)
	var manifest *artifacts.Manifest
	if manifestPath != "" {
		manifest, err = readManifest(manifestPath)
		found.add(err)
	}
	if err := found.err(); err != nil {
		return err
	}
	inspection := tower.Inspect(file, manifest)
	if user.json {
		err = json.NewEncoder(user.out).Encode(modelSummaryOf(path, len(file), inspection))
	} else {
		err = showModel(user.out, path, len(file), inspection)
	}
	return errors.Join(append([]error{err}, inspection.Problems...)...)
}

// readAtMost reads a file of at most so many bytes.
func readAtMost(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %s bytes, the most that is read", path, grouped(limit))
	}
	return data, nil
}

// readManifest reads the manifest of a model that has towers.
func readManifest(path string) (*artifacts.Manifest, error) {
	data, err := readAtMost(path, artifacts.MaxManifestBytes)
	if err != nil {
		return nil, fmt.Errorf("--manifest: %w", err)
	}
	manifest, err := artifacts.DecodeManifest(data)
	if err != nil {
		return nil, fmt.Errorf("--manifest %s: %w", path, err)
	}
	if manifest.Golden == nil {
		return nil, fmt.Errorf("--manifest %s: a model of mode %s has no towers", path, manifest.Mode)
	}
	return &manifest, nil
}

// halves are the names of the towers, by their path.
var halves = map[string]string{artifacts.UserTower: "user", artifacts.ItemTower: "item"}

// modelSummary is what model check tells a machine. Shapes are as onnx.Declaration has them.
type modelSummary struct {
	File      string          `json:"file"`
	Bytes     int             `json:"bytes"`
	IRVersion int64           `json:"ir_version"`
	Producer  string          `json:"producer"`
	Opsets    []opsetSummary  `json:"opsets"`
	Operators []operatorUsed  `json:"operators"`
	Takes     []valueDeclared `json:"takes"`
	Gives     []valueDeclared `json:"gives"`
	MaxBatch  int             `json:"largest_batch"`
	Tower     string          `json:"tower"`
	Accepted  bool            `json:"accepted"`
	Problems  []string        `json:"problems"`
}

type opsetSummary struct {
	Domain  string `json:"domain"`
	Version int64  `json:"version"`
	Used    bool   `json:"used"`
}

type operatorUsed struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Nodes   int    `json:"nodes"`
}

type valueDeclared struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []string `json:"shape"`
}

func modelSummaryOf(path string, bytes int, found tower.Inspection) modelSummary {
	summary := modelSummary{
		File: path, Bytes: bytes, IRVersion: found.IRVersion, Producer: found.Producer,
		Opsets: []opsetSummary{}, Operators: []operatorUsed{}, Takes: declarations(found.Inputs),
		Gives: declarations(found.Outputs), MaxBatch: found.MaxBatch, Tower: halves[found.Form.Path],
		Accepted: len(found.Problems) == 0, Problems: []string{},
	}
	for _, opset := range found.Opsets {
		summary.Opsets = append(summary.Opsets, opsetSummary(opset))
	}
	for _, operator := range found.Operators {
		summary.Operators = append(summary.Operators, operatorUsed(operator))
	}
	for _, problem := range found.Problems {
		summary.Problems = append(summary.Problems, problem.Error())
	}
	return summary
}

func declarations(values []onnx.Declaration) []valueDeclared {
	declared := make([]valueDeclared, len(values))
	for i, value := range values {
		declared[i] = valueDeclared(value)
	}
	return declared
}

// showModel tells people what a model is.
func showModel(to io.Writer, path string, bytes int, found tower.Inspection) error {
	table := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	line := func(label, text string) { fmt.Fprintf(table, "%s\t%s\n", label, printable(text)) }
	producer := ""
	if found.Producer != "" {
		producer = ", written by " + found.Producer
	}
	line("Model", fmt.Sprintf("%s, %s bytes%s", filepath.Base(path), grouped(int64(bytes)), producer))
	label := "Opsets"
	for _, opset := range found.Opsets {
		domain, unused := opset.Domain, ""
		if domain == "" {
			domain = "default"
		}
		if !opset.Used {
			unused = ", not used"
		}
		line(label, fmt.Sprintf("%s %d%s", domain, opset.Version, unused))
		label = ""
	}
	operators := make([]string, len(found.Operators))
	for i, operator := range found.Operators {
		operators[i] = operator.Name
		if operator.Nodes > 1 {
			operators[i] += fmt.Sprintf(" %d times", operator.Nodes)
		}
		if operator.Version == 0 {
			operators[i] += " (not supported)"
		}
	}
	if len(operators) > 0 {
		line("Operators", strings.Join(operators, ", "))
	}
	showDeclarations(line, "Takes", found.Inputs)
	showDeclarations(line, "Gives", found.Outputs)
	if found.MaxBatch > 0 {
		line("Batch", fmt.Sprintf("N is 1 to %s rows", grouped(int64(found.MaxBatch))))
	}
	if len(found.Problems) == 0 {
		line("Accepted", fmt.Sprintf("as the %s tower of a model", halves[found.Form.Path]))
	} else {
		line("Refused", fmt.Sprintf("as the %s tower of a model", halves[found.Form.Path]))
	}
	return table.Flush()
}

func showDeclarations(line func(label, text string), label string, values []onnx.Declaration) {
	for _, value := range values {
		shape := "of unknown rank"
		if value.Shape != nil {
			shape = "[" + strings.Join(value.Shape, " ") + "]"
		}
		line(label, fmt.Sprintf("%s %s %s", value.Name, value.Type, shape))
		label = ""
	}
}

// printable replaces what would break a line: names are the file's.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}
