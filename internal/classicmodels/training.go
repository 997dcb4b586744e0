package classicmodels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"time"

	"diecast/internal/trainingset"
)

// TrainingSchema is the three parts of a training set: the course's 13 columns with ratedAt and
// ratingCount, and snapshots of all products and all customers. Types are the catalogue's.
var TrainingSchema = []*Table{
	trainingPart("ratings", "customerNumber", "city", "state", "postalCode", "country", "creditLimit", "productCode",
		"productLine",
		"productScale", "quantityInStock", "buyPrice", "MSRP", "productRating", "ratedAt", "ratingCount"),
	trainingPart("products", "productCode", "productName", "productLine", "productScale", "productVendor",
		"quantityInStock", "buyPrice", "MSRP"),
	trainingPart("customers", "customerNumber", "city", "state", "postalCode", "country", "creditLimit"),
}

var (
	trainingRatings   = TrainingSchema[0]
	trainingProducts  = TrainingSchema[1]
	trainingCustomers = TrainingSchema[2]
)

// trainingPart takes the columns from the source's tables; ratingCount is the training set's own.
func trainingPart(name string, columns ...string) *Table {
	part := &Table{Name: name}
	for _, column := range columns {
		part.Columns = append(part.Columns, trainingColumn(column))
	}
	return part
}

func trainingColumn(name string) Column {
	for _, table := range []string{Ratings, Products, Customers} {
		source := TableNamed(table)
		if i := source.Index(name); i >= 0 {
			column := source.Columns[i]
			switch column.Kind {
			case Text:
				column.Type = "string"
			case Timestamp:
				column.Type = "timestamp"
			}
			return column
		}
	}
	return Column{Name: name, Type: "int", Kind: Integer}
}

// project takes the named columns of a row of a source table.
func project(from *Table, row []Value, to *Table) []Value {
	projected := make([]Value, len(to.Columns))
	for i, column := range to.Columns {
		projected[i] = row[from.Index(column.Name)]
	}
	return projected
}

// trainingRating joins a rating with its customer and its product (rows of the source's tables).
func trainingRating(customer, product []Value, stars, ratedAt Value) []Value {
	row := append(make([]Value, 0, len(trainingRatings.Columns)), customer[:len(trainingCustomers.Columns)]...)
	return append(row,
		product[0], product[2], product[3], product[5], product[6], product[7],
		stars, ratedAt, IntegerValue(1))
}

// ScanTraining visits the training set's rows: every product, every customer, every rating with
// what is known of both.
func (s *Shop) ScanTraining(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	for product := range s.catalogue() {
		v.rowOf(trainingProducts, project(TableNamed(Products), s.product(product), trainingProducts))
	}
	for index := 0; index < s.blocks() && v.err == nil; index++ {
		from, to := s.share(customersPerBlock, index)
		customers := make([][]Value, to-from)
		for i := range customers {
			customers[i] = project(TableNamed(Customers), s.customer(from+i), trainingCustomers)
			v.rowOf(trainingCustomers, customers[i])
		}
		products := map[int][]Value{}
		for _, r := range s.block(index).ratings {
			product, known := products[r.product]
			if !known {
				product = project(TableNamed(Products), s.product(r.product), trainingProducts)
				products[r.product] = product
			}
			v.rowOf(trainingRatings, trainingRating(customers[r.customer-from], product, IntegerValue(r.stars),
				TimestampValue(r.time())))
		}
	}
	return v.err
}

// RunID names the training run of a source: its moment and eight digits of its origin, so that runs
// sort by time and the same source always gives the same run.
func RunID(source Source) string {
	kind, detail := source.Origin()
	digest := sha256.Sum256([]byte(kind + "\n" + detail))
	return source.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(digest[:4])
}

// WriteTraining writes a training set as it would be published with strategy replace: below
// ratings_ml_training/<run>/ a CSV file for each part (UTF-8, header, RFC 4180 with LF, empty for
// null, times in RFC 3339), and last the manifest (package trainingset).
func WriteTraining(ctx context.Context, source Source, create Create) ([]File, error) {
	run := RunID(source)
	folder := path.Join(trainingset.Prefix, run)
	parts, err := writeTables(ctx, TrainingSchema, source.ScanTraining, create, time.RFC3339,
		func(table string) string {
			return path.Join(folder, partName(table))
		})
	if err != nil {
		return nil, err
	}
	kind, detail := source.Origin()
	manifest := trainingset.Manifest{
		SchemaVersion: 1, RunID: run, CreatedAt: source.Now().UTC(), Strategy: trainingset.Replace,
		Format: trainingset.CSV,
		Tables: trainingset.Tables{Ratings: manifestTable(0, parts), Products: manifestTable(1, parts),
			Customers: manifestTable(2, parts)},
		Source: trainingset.Source{Kind: kind, Detail: detail},
	}
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	out, err := open(create, path.Join(folder, trainingset.ManifestName), "")
	if err != nil {
		return nil, err
	}
	out.write(append(text, '\n'))
	written, err := out.close()
	return append(parts, written), err
}

func partName(table string) string { return path.Join(table, "part-00000.csv") }

// manifestTable describes the part of TrainingSchema at index.
func manifestTable(index int, written []File) trainingset.Table {
	part, file := TrainingSchema[index], written[index]
	table := trainingset.Table{
		Rows:  file.Rows,
		Files: []trainingset.File{{Path: partName(part.Name), SHA256: file.SHA256, Bytes: file.Bytes}},
	}
	for _, column := range part.Columns {
		table.Columns = append(table.Columns, trainingset.Column{Name: column.Name, Type: column.Type})
	}
	return table
}
