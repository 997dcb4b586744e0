package artifacts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"diecast/internal/plaintext"
)

// MaxPopularity is how many products a ranking has at most.
const MaxPopularity = maxPopularity

// ReadPopularity reads a ranking of products: CSV (RFC 4180) with the header id,score, best first,
// each product once, at most MaxPopularity of them. A byte order mark is passed over. The error is
// an *Error with file, line and reason of every refused line.
func ReadPopularity(reader io.Reader, file string) ([]Popular, error) {
	problems := &Error{}
	reader, err := plaintext.Reader(reader)
	if container := plaintext.Container(""); errors.As(err, &container) {
		problems.add(file, 1, "%v", container)
		return nil, problems
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	records := csv.NewReader(reader)
	records.FieldsPerRecord = -1
	header, err := records.Read()
	if err != nil || len(header) != 2 || header[0] != "id" || header[1] != "score" {
		problems.add(file, 1, "want the header id,score")
		return nil, problems
	}
	ranking, firstLine := []Popular{}, map[string]int{}
	for {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return ranking, problems.orNil()
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			problems.add(file, syntax.Line, "broken CSV (a truncated file?): %v", syntax.Err)
			return nil, problems
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		line, _ := records.FieldPos(0)
		if len(ranking) == maxPopularity {
			problems.add(file, line, "a ranking has at most %d products", maxPopularity)
			return nil, problems
		}
		product, err := parsePopular(record)
		switch {
		case err != nil:
			problems.add(file, line, "%v", err)
			continue
		case firstLine[product.ID] > 0:
			problems.add(file, line, "id %s: already on line %d", quoteShort(product.ID), firstLine[product.ID])
		case len(ranking) > 0 && product.Score > ranking[len(ranking)-1].Score:
			problems.add(file, line, "score %v after %v: want the best first", product.Score,
				ranking[len(ranking)-1].Score)
		}
		firstLine[product.ID] = line
		ranking = append(ranking, product)
	}
}

func parsePopular(record []string) (Popular, error) {
	if len(record) != 2 {
		return Popular{}, fmt.Errorf("has %d fields, want the two of id,score", len(record))
	}
	if !itemIDPattern.MatchString(record[0]) {
		return Popular{}, fmt.Errorf("id %s: want %s", quoteShort(record[0]), ItemIDRule)
	}
	score, err := strconv.ParseFloat(record[1], 64)
	if err != nil || math.IsNaN(score) || math.IsInf(score, 0) || strings.ContainsAny(record[1], "xX_") {
		return Popular{}, fmt.Errorf("score: got %s, want a finite number", quoteShort(record[1]))
	}
	return Popular{ID: record[0], Score: score}, nil
}

// FormatPopularity writes a ranking as ReadPopularity reads it.
func FormatPopularity(ranking []Popular) []byte {
	var text strings.Builder
	lines := csv.NewWriter(&text)
	_ = lines.Write([]string{"id", "score"}) // a strings.Builder takes everything
	for _, product := range ranking {
		_ = lines.Write([]string{product.ID, strconv.FormatFloat(product.Score, 'g', -1, 64)})
	}
	lines.Flush()
	return []byte(text.String())
}

// ItemIDRule says in words what ValidItemID wants.
const ItemIDRule = "1 to 64 visible ASCII characters without spaces"

// ValidItemID says whether a product code may name an item of a model.
func ValidItemID(id string) bool { return itemIDPattern.MatchString(id) }
