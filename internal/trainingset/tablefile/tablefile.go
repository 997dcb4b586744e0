// Package tablefile reads the rows of a run's files, Parquet or CSV, as text and one after the
// other, so that a file may be larger than memory. It knows neither where the files lie nor what
// their columns mean.
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
	return Stream(kind, columns, bytes.NewReader(content), int64(len(content)))
}

// Stream is Rows for a file of so many bytes that need not be in memory. With wanted columns, a row
// has their values only, in the order of wanted, and of a Parquet file only they are read.
func Stream(kind trainingset.Format, columns []trainingset.Column, file io.ReaderAt, size int64,
	wanted ...string) iter.Seq2[[]string, error] {
	if len(wanted) == 0 {
		for _, column := range columns {
			wanted = append(wanted, column.Name)
		}
	}
	places := make([]int, len(wanted))
	for i, name := range wanted {
		places[i] = slices.IndexFunc(columns, func(column trainingset.Column) bool { return column.Name == name })
		if places[i] < 0 {
			return failing(fmt.Errorf("the table has no column %s", name))
		}
	}
	switch kind {
	case trainingset.Parquet:
		return parquetRows(columns, file, size, places)
	case trainingset.CSV:
		return csvRows(columns, io.NewSectionReader(file, 0, size), places)
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

func csvRows(columns []trainingset.Column, file io.Reader, places []int) iter.Seq2[[]string, error] {
	return func(yield func([]string, error) bool) {
		content, err := plaintext.Reader(file)
		if err != nil {
			yield(nil, err)
			return
		}
		rows := csv.NewReader(content)
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
				if !yield(picked(row, places), nil) {
					return
				}
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

func picked(row []string, places []int) []string {
	values := make([]string, len(places))
	for i, place := range places {
		values[i] = row[place]
	}
	return values
}

// tidyTimes writes times as the contract of this package has them: Spark writes them as RFC 3339
// into CSV.
func tidyTimes(columns []trainingset.Column, row []string) {
	for i, column := range columns {
		if column.Type != "timestamp" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, row[i]); err == nil {
			row[i] = at.UTC().Format(time.DateTime)
		}
	}
}

// batch is how many values of a column are read at a time.
const batch = 256

func parquetRows(columns []trainingset.Column, content io.ReaderAt, size int64,
	places []int) iter.Seq2[[]string, error] {
	file, err := parquet.OpenFile(content, size)
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
			if !groupRows(group, fields, places, yield) {
				return
			}
		}
	}
}

// groupRows yields the rows of one group, and says whether more are wanted.
func groupRows(group parquet.RowGroup, fields []parquet.Field, places []int,
	yield func([]string, error) bool) bool {
	chunks := group.ColumnChunks()
	readers := make([]*columnReader, len(places))
	for i, place := range places {
		readers[i] = &columnReader{pages: chunks[place].Pages()}
		defer readers[i].pages.Close()
	}
	for range group.NumRows() {
		row := make([]string, len(places))
		for i, place := range places {
			value, err := readers[i].next()
			if err != nil {
				return yield(nil, fmt.Errorf("column %s: %w", fields[place].Name(), err)) && false
			}
			row[i] = text(fields[place], value)
		}
		if !yield(row, nil) {
			return false
		}
	}
	return true
}

// columnReader reads the values of one column of a group, one for each row.
type columnReader struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer [batch]parquet.Value
	unread []parquet.Value
}

// next value; io.ErrUnexpectedEOF where the column has fewer than its group has rows.
func (c *columnReader) next() (parquet.Value, error) {
	for len(c.unread) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buffer[:])
		c.unread = c.buffer[:n]
		if errors.Is(err, io.EOF) {
			c.values = nil
		} else if err != nil {
			return parquet.Value{}, err
		}
	}
	value := c.unread[0]
	c.unread = c.unread[1:]
	return value, nil
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
