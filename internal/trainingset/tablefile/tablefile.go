// Package tablefile reads the rows of a run's files, Parquet or CSV, as text: for whoever shows or
// sums a few of them. It knows neither where the files lie nor what their columns mean.
package tablefile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"diecast/internal/plaintext"
	"diecast/internal/trainingset"
)

// Rows are those of one file with these columns, in the file's order. A value is written as in CSV:
// decimals with their scale, days as 2006-01-02, times as 2006-01-02 15:04:05 in UTC; what is
// absent is empty. The error, after which nothing comes, is that of a damaged file or of one with
// other columns.
func Rows(kind trainingset.Format, columns []trainingset.Column, content []byte) iter.Seq2[[]string, error] {
	switch kind {
	case trainingset.Parquet:
		return parquetRows(columns, content)
	case trainingset.CSV:
		return csvRows(columns, content)
	}
	return failing(fmt.Errorf("a file of format %q: %s and %s are known", kind, trainingset.Parquet, trainingset.CSV))
}

func failing(err error) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) { yield(nil, err) }
}

// check holds a file to its table's columns.
func check(found []string, columns []trainingset.Column) error {
	var names []string
	for _, column := range columns {
		names = append(names, column.Name)
	}
	if !slices.Equal(found, names) {
		return fmt.Errorf("the file has the columns %s: the manifest says %s",
			strings.Join(found, ", "), strings.Join(names, ", "))
	}
	return nil
}

func csvRows(columns []trainingset.Column, content []byte) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		content, err := plaintext.Trim(content)
		if err != nil {
			yield(nil, err)
			return
		}
		rows := csv.NewReader(bytes.NewReader(content))
		header, err := rows.Read()
		if errors.Is(err, io.EOF) {
			err = errors.New("it has no header line")
		}
		if err == nil {
			err = check(header, columns)
		}
		for err == nil {
			var row []string
			if row, err = rows.Read(); err == nil {
				tidyTimes(columns, row)
				if !yield(row, nil) {
					return
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

// tidyTimes writes times as the contract of this package has them: Spark writes them as RFC 3339
// into CSV.
func tidyTimes(columns []trainingset.Column, row []string) {
	for i, column := range columns {
		if at, err := time.Parse(time.RFC3339, row[i]); column.Type == "timestamp" && err == nil {
			row[i] = at.UTC().Format(time.DateTime)
		}
	}
}

// batch is how many rows are read at a time.
const batch = 256

func parquetRows(columns []trainingset.Column, content []byte) iter.Seq2[[]string, error] {
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return failing(fmt.Errorf("it is no Parquet file: %w", err))
	}
	var names []string
	for _, field := range file.Schema().Fields() {
		if !field.Leaf() || field.Repeated() {
			return failing(fmt.Errorf("column %s is nested: a run's tables are flat", field.Name()))
		}
		names = append(names, field.Name())
	}
	if err := check(names, columns); err != nil {
		return failing(err)
	}
	fields := file.Schema().Fields()
	return func(yield func([]string, error) bool) {
		for _, group := range file.RowGroups() {
			if !groupRows(group, fields, yield) {
				return
			}
		}
	}
}

// groupRows yields the rows of one group, and says whether more are wanted.
func groupRows(group parquet.RowGroup, fields []parquet.Field, yield func([]string, error) bool) bool {
	rows := group.Rows()
	defer rows.Close()
	buffer := make([]parquet.Row, batch)
	for {
		n, err := rows.ReadRows(buffer)
		for _, values := range buffer[:n] {
			row := make([]string, len(fields))
			for _, value := range values {
				row[value.Column()] = text(fields[value.Column()], value)
			}
			if !yield(row, nil) {
				return false
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			return yield(nil, err) && false
		}
	}
}

// text of a value, by the column's logical type (Parquet's LogicalTypes.md).
func text(field parquet.Field, value parquet.Value) string {
	if value.IsNull() {
		return ""
	}
	var logical any
	if declared := field.Type().LogicalType(); declared != nil {
		logical = declared.Value
	}
	switch kind := logical.(type) {
	case *format.DecimalType:
		return decimal(unscaled(value), int(kind.Scale))
	case *format.DateType:
		return time.Unix(int64(value.Int32())*24*60*60, 0).UTC().Format(time.DateOnly)
	case *format.TimestampType:
		unit := kind.Unit.Value.Duration()
		return time.Unix(0, 0).Add(time.Duration(value.Int64()) * unit).UTC().Format(time.DateTime)
	}
	return value.String()
}

// unscaled is a decimal's integer: an int32, an int64, or a big-endian two's complement.
func unscaled(value parquet.Value) *big.Int {
	switch value.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(value.Int32()))
	case parquet.Int64:
		return big.NewInt(value.Int64())
	}
	bytes := value.ByteArray()
	number := new(big.Int).SetBytes(bytes)
	if len(bytes) > 0 && bytes[0]&0x80 != 0 {
		number.Sub(number, new(big.Int).Lsh(big.NewInt(1), uint(8*len(bytes))))
	}
	return number
}

// decimal writes an integer with so many places behind the point.
func decimal(number *big.Int, scale int) string {
	digits := new(big.Int).Abs(number).String()
	if scale > 0 {
		digits = strings.Repeat("0", max(0, scale+1-len(digits))) + digits
		digits = digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
	}
	if number.Sign() < 0 {
		return "-" + digits
	}
	return digits
}
