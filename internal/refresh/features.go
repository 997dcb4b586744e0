package refresh

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/tower"
	"diecast/internal/trainingset/publishedrun"
)

// The most inputs of one type that a tower has.
const (
	mostTexts   = 2
	mostNumbers = 3
)

// features are the inputs of a tower for rows of a run. A row takes some 70 bytes: texts are kept
// once.
type features[ID interface{ ~string | ~int }] struct {
	inputs []artifacts.Input
	rows   []featuresOf[ID]
	texts  []string
	places map[string]int32
}

// featuresOf is one row: texts by their place among all, numbers, and where it stands.
type featuresOf[ID any] struct {
	id      ID
	texts   [mostTexts]int32
	numbers [mostNumbers]float32
	file    string
	row     int
}

func newFeatures[ID interface{ ~string | ~int }](inputs []artifacts.Input) *features[ID] {
	return &features[ID]{inputs: inputs, places: map[string]int32{}}
}

// add takes a row whose values behind the first are the inputs', in their order; columns are their
// names. A number that is absent is the default of its input, and where that has none the row is
// not taken: the column is returned.
func (f *features[ID]) add(id ID, row publishedrun.Row, columns []string, defaults map[string]float32) (
	missing string, err error) {
	one := featuresOf[ID]{id: id, file: row.File, row: row.Number}
	texts, numbers := 0, 0
	for i, input := range f.inputs {
		value := row.Values[i+1]
		if input.Type == "string" {
			one.texts[texts] = f.place(activity.Normalise(value))
			texts++
			continue
		}
		number, known := defaults[input.Name]
		if value == "" && !known {
			return columns[i], nil
		}
		if value != "" {
			if number, err = parseNumber(value); err != nil {
				return "", fmt.Errorf("%s: %s %.40q: %w", row.Place(), columns[i], value, err)
			}
		}
		one.numbers[numbers] = number
		numbers++
	}
	f.rows = append(f.rows, one)
	return "", nil
}

func (f *features[ID]) place(text string) int32 {
	at, known := f.places[text]
	if !known {
		at = int32(len(f.texts))
		f.places[text] = at
		f.texts = append(f.texts, text)
	}
	return at
}

// sort puts the rows into the order of their ids and refuses one that is there twice.
func (f *features[ID]) sort() error {
	slices.SortStableFunc(f.rows, func(a, b featuresOf[ID]) int { return cmp.Compare(a.id, b.id) })
	for i := 1; i < len(f.rows); i++ {
		if before, again := f.rows[i-1], f.rows[i]; before.id == again.id {
			return fmt.Errorf("%s, row %d: id %v is already in %s, row %d", again.file, again.row, again.id,
				before.file, before.row)
		}
	}
	return nil
}

// columns are the tower's inputs for some of the rows.
func (f *features[ID]) columns(rows []featuresOf[ID]) tower.Columns {
	all := tower.Columns{Texts: map[string][]string{}, Numbers: map[string][]float32{}}
	texts, numbers := 0, 0
	for _, input := range f.inputs {
		if input.Type == "string" {
			values := make([]string, len(rows))
			for i, row := range rows {
				values[i] = f.texts[row.texts[texts]]
			}
			all.Texts[input.Name] = values
			texts++
		} else {
			values := make([]float32, len(rows))
			for i, row := range rows {
				values[i] = row.numbers[numbers]
			}
			all.Numbers[input.Name] = values
			numbers++
		}
	}
	return all
}

// parseNumber reads a finite decimal number.
func parseNumber(text string) (float32, error) {
	number, err := strconv.ParseFloat(text, 64)
	// ParseFloat also reads hexadecimal numbers.
	if err != nil || math.IsNaN(number) || math.Abs(number) > math.MaxFloat32 || strings.ContainsAny(text, "xX_") {
		return 0, fmt.Errorf("want a finite number")
	}
	return float32(number), nil
}

// userScaler is the file in which a model's trainer tells by what it standardised.
const userScaler = "scalers/user.json"

// meanCreditLimit is what stands for a credit limit that is not known: the mean that the model was
// trained with. A model that was brought need not tell.
func meanCreditLimit(base Folder) (map[string]float32, error) {
	if _, listed := base.Manifest.Files[userScaler]; !listed {
		return nil, nil
	}
	text, err := fs.ReadFile(base.Files, userScaler)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", base.Manifest.ModelVersion, err)
	}
	var scaler struct {
		Standardisation map[string]struct {
			Mean *float64 `json:"mean"`
		} `json:"standardisation"`
	}
	const input = "credit_limit"
	if json.Unmarshal(text, &scaler) != nil || scaler.Standardisation[input].Mean == nil {
		return nil, nil
	}
	return map[string]float32{input: float32(*scaler.Standardisation[input].Mean)}, nil
}
