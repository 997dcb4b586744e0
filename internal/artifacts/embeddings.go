package artifacts

import (
	"encoding/csv"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"strconv"
	"strings"

	"diecast/internal/models"
	"diecast/internal/plaintext"
)

// ItemEmbedding is a line of ItemEmbeddings.
type ItemEmbedding struct {
	// ID is the product code.
	ID string
	// Vector has models.Dimension finite numbers.
	Vector []float32
}

// UserEmbedding is a line of UserEmbeddings.
type UserEmbedding struct {
	// ID is the customer number.
	ID int
	// Vector has models.Dimension finite numbers.
	Vector []float32
}

// ReadItems reads product embeddings: CSV (RFC 4180) with the header id,embedding, the vector as
// text in brackets with commas between its numbers, as pgvector reads it. A byte order mark is
// passed over. The error is an *Error
// with file, line and reason of every refused line: a number that is not finite, a wrong dimension,
// a code that is doubled or malformed, a file that ends within a line.
func ReadItems(reader io.Reader, file string) ([]ItemEmbedding, error) {
	var items []ItemEmbedding
	err := EachItem(reader, file, func(item ItemEmbedding) { items = append(items, item) })
	return items, err
}

// EachItem is ReadItems for rows that need not be in memory together.
func EachItem(reader io.Reader, file string, visit func(ItemEmbedding)) error {
	return readEmbeddings(reader, file, func(id string, vector []float32) error {
		if !itemIDPattern.MatchString(id) {
			return fmt.Errorf("id %s: want %s", quoteShort(id), ItemIDRule)
		}
		visit(ItemEmbedding{ID: id, Vector: vector})
		return nil
	})
}

// ReadUsers reads customer embeddings under the rules of ReadItems; ids are whole numbers from 0 to
// 2^31-1.
func ReadUsers(reader io.Reader, file string) ([]UserEmbedding, error) {
	var users []UserEmbedding
	err := EachUser(reader, file, func(user UserEmbedding) { users = append(users, user) })
	return users, err
}

// EachUser is ReadUsers for rows that need not be in memory together.
func EachUser(reader io.Reader, file string, visit func(UserEmbedding)) error {
	return readEmbeddings(reader, file, func(id string, vector []float32) error {
		number, err := strconv.ParseUint(id, 10, 31)
		if err != nil || strconv.FormatUint(number, 10) != id {
			return fmt.Errorf("id %s: want a whole number from 0 to %d", quoteShort(id), math.MaxInt32)
		}
		visit(UserEmbedding{ID: int(number), Vector: vector})
		return nil
	})
}

func readEmbeddings(reader io.Reader, file string, add func(id string, vector []float32) error) error {
	problems := &Error{}
	reader, err := plaintext.Reader(reader)
	if container := plaintext.Container(""); errors.As(err, &container) {
		problems.add(file, 1, "%v", container)
		return problems
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	records := csv.NewReader(reader)
	records.FieldsPerRecord = -1
	records.ReuseRecord = true
	header, err := records.Read()
	if err != nil || len(header) != 2 || header[0] != "id" || header[1] != "embedding" {
		problems.add(file, 1, "want the header id,embedding")
		return problems
	}
	// Ids are known again by their hash: two of a million share one by chance in one file of 30
	// million.
	firstLine, seed := map[uint64]int32{}, maphash.MakeSeed()
	for {
		record, err := records.Read()
		if errors.Is(err, io.EOF) {
			return problems.orNil()
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			problems.add(file, syntax.Line, "broken CSV (a truncated file?): %v", syntax.Err)
			return problems
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", file, err)
		}
		line, _ := records.FieldPos(0)
		if len(record) != 2 {
			problems.add(file, line, "has %d fields, want the two of id,embedding", len(record))
			continue
		}
		id := strings.Clone(record[0])
		vector, err := parseVector(record[1])
		if err == nil {
			err = add(id, vector)
		}
		hash := maphash.String(seed, id)
		if earlier, seen := firstLine[hash]; seen && err == nil {
			err = fmt.Errorf("id %s: already on line %d", quoteShort(id), earlier)
		}
		firstLine[hash] = int32(line)
		if err != nil {
			problems.add(file, line, "%v", err)
		}
	}
}

func parseVector(text string) ([]float32, error) {
	inner, opened := strings.CutPrefix(strings.TrimSpace(text), "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return nil, fmt.Errorf("embedding %s: want %d numbers in brackets", quoteShort(text), models.Dimension)
	}
	parts := strings.Split(inner, ",")
	if len(parts) != models.Dimension {
		return nil, fmt.Errorf("embedding of %d dimensions: want %d", len(parts), models.Dimension)
	}
	vector := make([]float32, models.Dimension)
	for i, part := range parts {
		part = strings.TrimSpace(part)
		number, err := strconv.ParseFloat(part, 32)
		// ParseFloat also reads hexadecimal numbers, which pgvector does not.
		if err != nil || math.IsNaN(number) || math.IsInf(number, 0) || strings.ContainsAny(part, "xX_") {
			return nil, fmt.Errorf("embedding, element %d: got %s, want a finite number", i+1, quoteShort(part))
		}
		vector[i] = float32(number)
	}
	return vector, nil
}

// FormatVector writes a vector as ReadItems and pgvector read it; float32 values survive the round
// trip.
func FormatVector(vector []float32) string {
	parts := make([]string, len(vector))
	for i, value := range vector {
		parts[i] = strconv.FormatFloat(float64(value), 'g', -1, 32)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func quoteShort(text string) string {
	const most = 24
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "..."
	}
	return strconv.Quote(text)
}
