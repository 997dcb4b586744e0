package classicmodels

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Create opens a new file; the name is relative and has slashes.
type Create func(name string) (io.WriteCloser, error)

// Directory creates files and their folders below a directory.
func Directory(root string) Create {
	return func(name string) (io.WriteCloser, error) {
		full := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, err
		}
		return os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	}
}

// File that was written.
type File struct {
	Path string `json:"path"`
	// Table whose rows it holds; empty where it holds several or none.
	Table  string `json:"table,omitempty"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// output counts and hashes what goes to one file. Errors stick and come out of close.
type output struct {
	File
	buffer *bufio.Writer
	closer io.Closer
	hash   hash.Hash
	err    error
}

func open(create Create, name, table string) (*output, error) {
	file, err := create(name)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	digest := sha256.New()
	return &output{
		File:   File{Path: name, Table: table},
		buffer: bufio.NewWriterSize(io.MultiWriter(file, digest), 64<<10), closer: file, hash: digest,
	}, nil
}

// Write makes the output an io.Writer for the encoders.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.buffer.Write(b)
	o.Bytes += int64(n)
	return n, err
}

func (o *output) write(b []byte) {
	if o.err == nil {
		_, o.err = o.Write(b)
	}
}

func (o *output) close() (File, error) {
	if err := errors.Join(o.err, o.buffer.Flush(), o.closer.Close()); err != nil {
		return File{}, fmt.Errorf("write %s: %w", o.Path, err)
	}
	o.SHA256 = hex.EncodeToString(o.hash.Sum(nil))
	return o.File, nil
}

// table writes one table as CSV.
type table struct {
	*output
	csv    *csv.Writer
	fields []string
	layout string
	buffer []byte
}

func (t *table) row(row []Value) error {
	t.Rows++
	for i, value := range row {
		if value.kind == Text || value.kind == Bytes {
			t.fields[i] = value.text
			continue
		}
		t.buffer = value.append(t.buffer[:0], t.layout)
		t.fields[i] = string(t.buffer)
	}
	return t.csv.Write(t.fields)
}

func writeTables(
	ctx context.Context, schema []*Table, scan func(context.Context, Visit) error, create Create, layout string,
	name func(table string) string,
) (files []File, err error) {
	tables := map[*Table]*table{}
	for _, description := range schema {
		out, openErr := open(create, name(description.Name), description.Name)
		if err = openErr; err != nil {
			break
		}
		t := &table{output: out, csv: csv.NewWriter(out), fields: make([]string, len(description.Columns)),
			layout: layout}
		tables[description] = t
		t.err = t.csv.Write(description.ColumnNames())
	}
	if err == nil {
		err = scan(ctx, func(description *Table, row []Value) error { return tables[description].row(row) })
	}
	for _, description := range schema {
		t := tables[description]
		if t == nil {
			break
		}
		t.csv.Flush()
		t.err = errors.Join(t.err, t.csv.Error())
		file, closeErr := t.close()
		err = errors.Join(err, closeErr)
		files = append(files, file)
	}
	return files, err
}

// WriteCSV writes a file <table>.csv for each table: UTF-8, header, RFC 4180 with LF, empty for
// null. A blob's bytes stand as they are.
func WriteCSV(ctx context.Context, source Source, create Create) ([]File, error) {
	return writeTables(ctx, Schema, source.Scan, create, time.DateTime, func(table string) string {
		return table +
			".csv"
	})
}
