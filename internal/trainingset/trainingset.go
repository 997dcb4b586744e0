// Package trainingset is the contract of one published run of training data: what the ETL job writes, what the
// gate checks, and what the trainer reads.
//
// A run is a folder, ratings_ml_training/<run_id>/, with the three tables ratings, products and customers and
// a manifest.json that names every file. The package must not know how a run is made or what is learned from
// it. The JSON Schema of the manifest is docs/schemas/training_set_manifest.schema.json; golden examples are
// in test/contracts/training_set_manifest.json.
package trainingset

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"diecast/internal/artifacts"
	"diecast/internal/strictjson"
)

// The names of the contract.
const (
	// Prefix is the folder of all runs.
	Prefix = "ratings_ml_training"
	// ManifestName is the file in a run's folder that names all others.
	ManifestName = "manifest.json"
)

// The limits of a manifest.
const (
	MaxBytes    = 4 << 20
	maxDepth    = 8
	maxFiles    = 10000
	maxRows     = 1 << 40
	maxFileSize = 1 << 43
)

// Strategy is how a run treats what was published before and what the source has now.
type Strategy string

const (
	// Replace publishes the source as it is now.
	Replace Strategy = "replace"
	// Latest publishes the newest rating of each customer and product over what was published and what is new.
	Latest Strategy = "latest"
	// Average publishes the mean over time of each customer's ratings of a product, as a double.
	Average Strategy = "average"
)

// Format is the format of a run's files.
type Format string

const (
	Parquet Format = "parquet" // compressed with snappy
	CSV     Format = "csv"     // with a header line
)

// Manifest names what a run holds.
type Manifest struct {
	SchemaVersion int       `json:"schema_version"`
	RunID         string    `json:"run_id"`
	CreatedAt     time.Time `json:"created_at"`
	Strategy      Strategy  `json:"strategy"`
	Format        Format    `json:"format"`
	Tables        Tables    `json:"tables"`
	Source        Source    `json:"source"`
}

// Tables are the tables of a run.
type Tables struct {
	Ratings   Table `json:"ratings"`
	Products  Table `json:"products"`
	Customers Table `json:"customers"`
}

// Table is one table of a run.
type Table struct {
	Rows    int64    `json:"rows"`
	Columns []Column `json:"columns"`
	Files   []File   `json:"files"`
}

// Column is a column by its name and Hive type, as the Glue catalogue spells it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// File is one file of a table; Path is relative to the run's folder.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// Source is where the ratings came from.
type Source struct {
	// Kind is generated, mysql or dump.
	Kind string `json:"kind"`
	// Detail is for people; it holds no secret.
	Detail string `json:"detail"`
}

var (
	runIDPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

type columnRule struct {
	name  string
	types []string
}

var (
	text    = []string{"string"}
	integer = []string{"int"}
	small   = []string{"smallint", "int"} // Spark's JDBC reader widens MySQL's smallint
	money   = []string{"decimal(10,2)"}
)

// columns are the tables' columns in their order; rating is the type of productRating.
func columns(table string, rating string) []columnRule {
	switch table {
	case "ratings":
		return []columnRule{{"customerNumber", integer}, {"city", text}, {"state", text}, {"postalCode", text},
			{"country", text}, {"creditLimit", money}, {"productCode", text}, {"productLine", text},
			{"productScale", text}, {"quantityInStock", small}, {"buyPrice", money}, {"MSRP", money},
			{"productRating", []string{rating}}, {"ratedAt", []string{"timestamp"}},
			{"ratingCount", []string{"int", "bigint"}}}
	case "products":
		return []columnRule{{"productCode", text}, {"productName", text}, {"productLine", text},
			{"productScale", text}, {"productVendor", text}, {"quantityInStock", small}, {"buyPrice", money},
			{"MSRP", money}}
	default:
		return []columnRule{{"customerNumber", integer}, {"city", text}, {"state", text}, {"postalCode", text},
			{"country", text}, {"creditLimit", money}}
	}
}

// Decode reads a manifest. The error is a *strictjson.Error that names every violation.
func Decode(data []byte) (Manifest, error) {
	document, err := strictjson.Parse(data, strictjson.Limits{MaxBytes: MaxBytes, MaxDepth: maxDepth})
	if err != nil {
		return Manifest{}, err
	}
	root := document.Root()
	if !root.Object() {
		return Manifest{}, document.Err()
	}
	manifest := Manifest{
		SchemaVersion: int(root.Field("schema_version").Integer(1, 1)),
		RunID:         root.Field("run_id").Pattern(runIDPattern, "a run id: 1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit"),
		CreatedAt:     root.Field("created_at").Time(),
		Strategy:      Strategy(root.Field("strategy").OneOf(string(Replace), string(Latest), string(Average))),
		Format:        Format(root.Field("format").OneOf(string(Parquet), string(CSV))),
	}
	if tables := root.Field("tables"); tables.Object() {
		rating := "int"
		if manifest.Strategy == Average {
			rating = "double"
		}
		tables.Only("ratings", "products", "customers")
		manifest.Tables.Ratings = readTable(tables, "ratings", rating, manifest.Format)
		manifest.Tables.Products = readTable(tables, "products", rating, manifest.Format)
		manifest.Tables.Customers = readTable(tables, "customers", rating, manifest.Format)
	}
	if source := root.Field("source"); source.Object() {
		manifest.Source = Source{
			Kind:   source.Field("kind").OneOf("generated", "mysql", "dump"),
			Detail: source.Field("detail").Text(0, 500),
		}
	}
	if err := document.Err(); err != nil {
		return Manifest{}, err
	}
	return manifest, nil
}

// Encode writes the manifest as indented JSON that ends in a newline.
func (m Manifest) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the training set's manifest: %w", err)
	}
	return append(data, '\n'), nil
}

func readTable(tables strictjson.Value, name, rating string, format Format) Table {
	field := tables.Field(name)
	if !field.Object() {
		return Table{}
	}
	table := Table{Rows: field.Field("rows").Integer(0, maxRows)}
	rules := columns(name, rating)
	for i, column := range field.Field("columns").Elements(len(rules), len(rules)) {
		if column.Object() {
			table.Columns = append(table.Columns, Column{
				Name: column.Field("name").OneOf(rules[i].name),
				Type: column.Field("type").OneOf(rules[i].types...),
			})
		}
	}
	pattern := regexp.MustCompile(`^` + name + `/part-[A-Za-z0-9._-]{1,200}\.(parquet|csv)$`)
	seen := map[string]bool{}
	for _, entry := range field.Field("files").Elements(1, maxFiles) {
		if !entry.Object() {
			continue
		}
		file := File{
			Path:   entry.Field("path").Pattern(pattern, "a path such as "+name+"/part-00000.csv"),
			SHA256: entry.Field("sha256").Pattern(sha256Pattern, "64 lower-case hexadecimal digits"),
			Bytes:  entry.Field("bytes").Integer(0, maxFileSize),
		}
		if file.Path != "" && format != "" && !strings.HasSuffix(file.Path, "."+string(format)) {
			entry.Field("path").Refuse("a file of format " + string(format))
		}
		if file.Path != "" && seen[file.Path] {
			entry.Field("path").Refuse("each file once")
		}
		seen[file.Path] = true
		table.Files = append(table.Files, file)
	}
	return table
}

// Verify reads the manifest of a run's folder and compares every file with it. A file that is listed and
// absent, has another size or another sha256, or is there and not listed is a problem; all are reported at
// once, in an *artifacts.Error. Names that begin with a dot or an underscore (Spark's
// markers, such as _SUCCESS) need not be listed.
func Verify(run fs.FS) (Manifest, error) {
	data, err := fs.ReadFile(run, ManifestName)
	if err != nil {
		return Manifest{}, fmt.Errorf("reading the training set's manifest: %w", err)
	}
	manifest, err := Decode(data)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", ManifestName, err)
	}
	listed := map[string]artifacts.File{}
	for _, table := range []Table{manifest.Tables.Ratings, manifest.Tables.Products, manifest.Tables.Customers} {
		for _, file := range table.Files {
			listed[file.Path] = artifacts.File{SHA256: file.SHA256, Bytes: file.Bytes}
		}
	}
	if err := artifacts.CompareFiles(run, listed, isMarker); err != nil {
		return Manifest{}, err
	}
	return manifest, nil
}

func isMarker(path string) bool {
	return path == ManifestName || slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool {
		return strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".")
	})
}
