// Package queries runs the archive's saved queries without Athena, over the files of its bucket:
// the same text, transpiled and executed by what is installed with `make setup`. It also says by
// other means, the contracts' own reading rules, what they must find. It does not know who has
// written the files.
package queries

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"diecast/internal/archive"
	"diecast/internal/local/installed"
	"diecast/sql"
)

//go:embed run.py
var script string

// Row of a result, by column; numbers are float64, and what JSON has no form for is a text.
type Row map[string]any

// request is what the script reads.
type request struct {
	Folder  string  `json:"folder"`
	Tables  []table `json:"tables"`
	Queries []query `json:"queries"`
}

type table struct {
	Name    string           `json:"name"`
	Folder  string           `json:"folder"`
	Hour    string           `json:"hour"` // the partition column; empty: none
	AnyCase bool             `json:"any_case"`
	Columns []map[string]any `json:"columns"`
}

type query struct {
	Name       string `json:"name"`
	Text       string `json:"text"`
	Parameters []any  `json:"parameters"`
}

// Run answers every saved query of the archive, by name, over a folder that holds the bucket's
// objects under their keys. The customer is the one whom customer_recommendations asks for.
func Run(ctx context.Context, folder string, customer int) (map[string][]Row, error) {
	python, err := installed.JobPython()
	if err != nil {
		return nil, err
	}
	asked := request{Folder: folder}
	for _, shown := range archive.Tables() {
		one := table{Name: shown.Name, Folder: shown.Folder, AnyCase: shown.AnyCase}
		if shown.ByHour {
			one.Hour = archive.HourColumn
		}
		for _, column := range shown.Columns {
			one.Columns = append(one.Columns, map[string]any{"name": column.Name, "type": column.Type})
		}
		asked.Tables = append(asked.Tables, one)
	}
	for _, saved := range sql.ArchiveQueries() {
		one := query{Name: saved.Name, Text: saved.Text, Parameters: []any{}}
		for range strings.Count(saved.Text, "?") {
			one.Parameters = append(one.Parameters, customer)
		}
		asked.Queries = append(asked.Queries, one)
	}
	input, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	var output, complaint bytes.Buffer
	command := exec.CommandContext(ctx, python, "-I", "-c", script)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &output, &complaint
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("saved queries over %s: %w\n%s", folder, err, complaint.String())
	}
	var answer map[string][]Row
	return answer, json.Unmarshal(output.Bytes(), &answer)
}
