package classicmodels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"time"
)

// TrainingFolder is where training sets are published, one folder for each run.
const TrainingFolder = "ratings_ml_training"

// TrainingSchema is the three parts of a training set: the course's 13 columns with ratedAt and ratingCount, and snapshots
// of all products and all customers. Types are the catalogue's.
var TrainingSchema = []*Table{
	trainingPart("ratings", "customerNumber", "city", "state", "postalCode", "country", "creditLimit", "productCode", "productLine",
		"productScale", "quantityInStock", "buyPrice", "MSRP", "productRating", "ratedAt", "ratingCount"),
	trainingPart("products", "productCode", "productName", "productLine", "productScale", "productVendor", "quantityInStock", "buyPrice", "MSRP"),
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

// ScanTraining visits the training set's rows: every product, every customer, every rating with what is known of both.
func (s *Shop) ScanTraining(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	for product := 0; product < s.products() && v.err == nil; product++ {
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
			v.rowOf(trainingRatings, trainingRating(customers[r.customer-from], product, IntegerValue(r.stars), TimestampValue(r.time())))
		}
	}
	return v.err
}

// Manifest of one training run, in the folder beside the parts.
type Manifest struct {
	SchemaVersion int                      `json:"schema_version"`
	RunID         string                   `json:"run_id"`
	CreatedAt     time.Time                `json:"created_at"`
	Strategy      string                   `json:"strategy"`
	Format        string                   `json:"format"`
	Tables        map[string]ManifestTable `json:"tables"`
	Source        ManifestSource           `json:"source"`
}

// ManifestTable is one part of the training set.
type ManifestTable struct {
	Rows    int64            `json:"rows"`
	Columns []ManifestColumn `json:"columns"`
	Files   []ManifestFile   `json:"files"`
}

// ManifestColumn has the catalogue's type.
type ManifestColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// ManifestFile is relative to the run's folder.
type ManifestFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// ManifestSource says where the rows come from.
type ManifestSource struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// RunID names the training run of a source: its moment and eight digits of its origin, so that runs sort by time and the
// same source always gives the same run.
func RunID(source Source) string {
	kind, detail := source.Origin()
	digest := sha256.Sum256([]byte(kind + "\n" + detail))
	return source.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(digest[:4])
}

// WriteTraining writes a training set as it would be published with strategy replace: below
// ratings_ml_training/<run>/ a CSV file for each part (UTF-8, header, RFC 4180 with LF, empty for null, times in RFC 3339),
// and last the manifest. A generated source's truth goes to truth/ (see WriteTruth).
func WriteTraining(ctx context.Context, source Source, create Create) ([]File, error) {
	run := RunID(source)
	folder := path.Join(TrainingFolder, run)
	parts, err := writeTables(ctx, TrainingSchema, source.ScanTraining, create, time.RFC3339, func(table string) string {
		return path.Join(folder, table, "part-00000.csv")
	})
	if err != nil {
		return nil, err
	}
	kind, detail := source.Origin()
	manifest := Manifest{
		SchemaVersion: 1, RunID: run, CreatedAt: source.Now().UTC(), Strategy: "replace", Format: "csv",
		Tables: map[string]ManifestTable{}, Source: ManifestSource{Kind: kind, Detail: detail},
	}
	for i, part := range TrainingSchema {
		table := ManifestTable{
			Rows:  parts[i].Rows,
			Files: []ManifestFile{{Path: path.Join(part.Name, "part-00000.csv"), SHA256: parts[i].SHA256, Bytes: parts[i].Bytes}},
		}
		for _, column := range part.Columns {
			table.Columns = append(table.Columns, ManifestColumn{column.Name, column.Type})
		}
		manifest.Tables[part.Name] = table
	}
	text, err := json.MarshalIndent(manifest, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	out, err := open(create, path.Join(folder, "manifest.json"), "")
	if err != nil {
		return nil, err
	}
	out.write(append(text, '\n'))
	written, err := out.close()
	return append(parts, written), err
}
