// Package trainingset is the contract of one published run of training data: what the ETL job
// writes, what the gate checks, and what the trainer reads.
//
// A run is a folder, ratings_ml_training/<run_id>/, with the tables ratings, products and
// customers, where the ETL job made it also the sales mart (sales, dates), observations and
// etl_quality, and a manifest.json that names every file; everything else in it begins with an
// underscore. published.json beside the runs names the one that programs read. The catalogue's
// tables follow it by a file that lists the run's files (CatalogueFolder). The package must not
// know how a run is made or what is learned from it. JSON Schemas are
// docs/schemas/training_set_*.schema.json; golden examples are in test/contracts/.
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
	// PublishedName is the file in Prefix that names the published run.
	PublishedName = "published.json"
	// OutcomeName is the file in a run's folder in which the ETL job tells how it went.
	OutcomeName = "_outcome.json"
	// QuarantinePrefix is the folder of the rows that were not published:
	// quarantine/<run_id>/<table>/.
	QuarantinePrefix = "quarantine"
	// ErasedPrefix is the folder of lists of erased customers, one number a line, that a run of the
	// ETL job may be given.
	ErasedPrefix = "erased"
	// SymlinkName is the file in a CatalogueFolder that lists the published run's files of a table.
	SymlinkName = "symlink.txt"
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
	// Latest publishes the newest rating of each customer and product over what was published and
	// what is new.
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
	// Window bounds the ratings that were read; nil where all were.
	Window *Window `json:"window,omitempty"`
	// Watermark is the greatest ratedAt of all that was read so far; zero where that is not known.
	Watermark time.Time `json:"watermark,omitzero"`
	// PreviousRun is the run that was published before and whose observations this one took over;
	// empty where there was none.
	PreviousRun string `json:"previous_run,omitempty"`
	// Quality is what was measured of the run; nil where nothing was.
	Quality *Quality `json:"quality,omitempty"`
	// SourceSchema is the tables that were read as the source described them; nil where that is not
	// known.
	SourceSchema []SourceTable `json:"source_schema,omitempty"`
	// Additions are columns of those tables that the job does not know.
	Additions []Addition `json:"additions,omitempty"`
}

// Window bounds ratings by ratedAt: from Since on and before Until; a zero time is no bound.
type Window struct {
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// Tables are the tables of a run; nil where a run need not have one and has not.
type Tables struct {
	Ratings   Table `json:"ratings"`
	Products  Table `json:"products"`
	Customers Table `json:"customers"`
	// Sales are the order lines, cancelled ones with a revenue of 0.
	Sales *Table `json:"sales,omitempty"`
	// Dates are the days from the first order's to the last one's, with revenue and demand spikes.
	Dates *Table `json:"dates,omitempty"`
	// Observations are all values that a customer's rating of a product was ever seen to have.
	Observations *Table `json:"observations,omitempty"`
	// Quality is what was measured of this run and of those that it came from.
	Quality *Table `json:"etl_quality,omitempty"`
}

// All are the tables that the run has, by name.
func (t Tables) All() map[string]Table {
	all := map[string]Table{"ratings": t.Ratings, "products": t.Products, "customers": t.Customers}
	optional := map[string]*Table{"sales": t.Sales, "dates": t.Dates, "observations": t.Observations,
		"etl_quality": t.Quality}
	for name, table := range optional {
		if table != nil {
			all[name] = *table
		}
	}
	return all
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

// SourceTable is a table of the source, its columns with the types that MySQL gives them.
type SourceTable struct {
	Table   string   `json:"table"`
	Columns []Column `json:"columns"`
}

// Addition is a column of the source that the job does not know.
type Addition struct {
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`
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

// What the patterns mean, for messages.
const (
	runIDMeaning  = "a run id: 1 to 128 letters, digits, dots, dashes and underscores, the first a letter or digit"
	sha256Meaning = "64 lower-case hexadecimal digits"
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
	date    = []string{"date"}
	time64  = []string{"timestamp"}
	revenue = []string{"decimal(20,2)"}
)

// TableNames are the tables that a run of the ETL job has.
func TableNames() []string {
	return []string{"ratings", "products", "customers", "sales", "dates", "observations", "etl_quality"}
}

// Columns are the columns of a table of TableNames as the ETL job writes them by any strategy but
// Average.
func Columns(table string) []Column { return written(table, "int") }

func written(table, rating string) []Column {
	var written []Column
	for _, rule := range columns(table, rating) {
		written = append(written, Column{Name: rule.name, Type: rule.types[0]})
	}
	return written
}

// CataloguePrefix is the folder of what the catalogue's tables follow.
const CataloguePrefix = "catalogue"

// CatalogueTable is the name of a run's table in the Glue catalogue: that of the ratings is the
// course's. A table of another format than Parquet is another table, so that none ever names files
// that it cannot read.
func CatalogueTable(table string, format Format) string {
	name := table
	if table == "ratings" {
		name = Prefix
	}
	if format != Parquet {
		name += "_" + string(format)
	}
	return name
}

// CatalogueFolder is where the catalogue's table looks: a folder with one file, SymlinkName, that
// lists the published run's files, one URI a line (Hive's SymlinkTextInputFormat).
func CatalogueFolder(table string, format Format) string {
	return CataloguePrefix + "/" + CatalogueTable(table, format)
}

// CatalogueEntry is a table of the Glue catalogue.
type CatalogueEntry struct {
	Name, Folder string
	// Table is the run's table that it shows, of TableNames.
	Table   string
	Columns []Column
	// means says that it shows ratings by the strategy Average.
	means bool
}

// Shown are the files of a run that an entry of Catalogue lists. The second result is false where
// the run has no such table, and the entry is left as it is.
func (m Manifest) Shown(entry CatalogueEntry) ([]File, bool) {
	table, ok := m.Tables.All()[entry.Table]
	if !ok {
		return nil, false
	}
	if entry.Table == ratings && entry.means != (m.Strategy == Average) {
		return nil, true
	}
	return table.Files, true
}

// ratings is the table whose type depends on the strategy.
const ratings = "ratings"

// Catalogue lists the tables of the Glue catalogue. The ratings have two, because those of a run by
// the strategy Average have another type; the one that the published run does not have is empty.
func Catalogue(format Format) []CatalogueEntry {
	var entries []CatalogueEntry
	for _, table := range TableNames() {
		entries = append(entries, CatalogueEntry{
			Name: CatalogueTable(table, format), Folder: CatalogueFolder(table, format), Table: table,
			Columns: Columns(table),
		})
	}
	name := strings.Replace(CatalogueTable(ratings, format), Prefix, Prefix+"_average", 1)
	return append(entries, CatalogueEntry{
		Name: name, Folder: CataloguePrefix + "/" + name, Table: ratings, Columns: written(ratings, "double"),
		means: true,
	})
}

// columns are the tables' columns in their order; rating is the type of productRating.
func columns(table string, rating string) []columnRule {
	switch table {
	case "ratings":
		return []columnRule{{"customerNumber", integer}, {"city", text}, {"state", text}, {"postalCode", text},
			{"country", text}, {"creditLimit", money}, {"productCode", text}, {"productLine", text},
			{"productScale", text}, {"quantityInStock", small}, {"buyPrice", money}, {"MSRP", money},
			{"productRating", []string{rating}}, {"ratedAt", time64},
			{"ratingCount", []string{"int", "bigint"}}}
	case "products":
		return []columnRule{{"productCode", text}, {"productName", text}, {"productLine", text},
			{"productScale", text}, {"productVendor", text}, {"quantityInStock", small}, {"buyPrice", money},
			{"MSRP", money}}
	case "sales":
		return []columnRule{{"orderNumber", integer}, {"orderLineNumber", small}, {"orderDate", date}, {"status", text},
			{"customerNumber", integer}, {"productCode", text}, {"quantityOrdered", integer}, {"priceEach", money},
			{"revenue", revenue}}
	case "dates":
		return []columnRule{{"calendarDate", date}, {"year", integer}, {"quarter", integer}, {"month", integer},
			{"dayOfMonth", integer}, {"dayOfWeek", integer}, {"revenue", revenue},
			{"threshold", []string{"decimal(24,4)"}}, {"isSpike", []string{"boolean"}}}
	case "observations":
		return []columnRule{{"customerNumber", integer}, {"productCode", text}, {"ratedAt", time64},
			{"productRating", integer}}
	case "etl_quality":
		return []columnRule{{"runId", text}, {"createdAt", time64}, {"strategy", text}, {"tableName", text},
			{"columnName", text}, {"measure", text}, {"value", []string{"double"}}}
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
		RunID:         root.Field("run_id").Pattern(runIDPattern, runIDMeaning),
		CreatedAt:     root.Field("created_at").Time(),
		Strategy:      Strategy(root.Field("strategy").OneOf(string(Replace), string(Latest), string(Average))),
		Format:        Format(root.Field("format").OneOf(string(Parquet), string(CSV))),
	}
	if tables := root.Field("tables"); tables.Object() {
		rating := "int"
		if manifest.Strategy == Average {
			rating = "double"
		}
		tables.Only(TableNames()...)
		manifest.Tables.Ratings = readTable(tables, "ratings", rating, manifest.Format)
		manifest.Tables.Products = readTable(tables, "products", rating, manifest.Format)
		manifest.Tables.Customers = readTable(tables, "customers", rating, manifest.Format)
		optional := map[string]**Table{"sales": &manifest.Tables.Sales, "dates": &manifest.Tables.Dates,
			"observations": &manifest.Tables.Observations, "etl_quality": &manifest.Tables.Quality}
		for _, name := range TableNames() {
			if target := optional[name]; target != nil && !tables.Field(name).Missing() {
				table := readTable(tables, name, rating, manifest.Format)
				*target = &table
			}
		}
	}
	if source := root.Field("source"); source.Object() {
		manifest.Source = Source{
			Kind:   source.Field("kind").OneOf("generated", "mysql", "dump"),
			Detail: source.Field("detail").Text(0, 500),
		}
	}
	if window := root.Field("window"); !window.Missing() {
		manifest.Window = readWindow(window)
	}
	if watermark := root.Field("watermark"); !watermark.Missing() {
		manifest.Watermark = watermark.Time()
	}
	if previous := root.Field("previous_run"); !previous.Missing() {
		manifest.PreviousRun = previous.Pattern(runIDPattern, runIDMeaning)
	}
	if quality := root.Field("quality"); !quality.Missing() {
		manifest.Quality = readQuality(quality)
	}
	if schema := root.Field("source_schema"); !schema.Missing() {
		manifest.SourceSchema = readSourceSchema(schema)
	}
	if additions := root.Field("additions"); !additions.Missing() {
		manifest.Additions = readAdditions(additions)
	}
	if err := document.Err(); err != nil {
		return Manifest{}, err
	}
	return manifest, nil
}

func readWindow(value strictjson.Value) *Window {
	window := &Window{}
	if value.Object() {
		for name, bound := range map[string]*time.Time{"since": &window.Since, "until": &window.Until} {
			if field := value.Field(name); !field.Missing() {
				*bound = field.Time()
			}
		}
	}
	return window
}

// Limits of what is told of the source; the columns' are MySQL's.
const (
	maxSourceTables = 100
	maxColumns      = 4096
	maxIdentifier   = 64
	maxType         = 100
)

func readSourceSchema(schema strictjson.Value) []SourceTable {
	var tables []SourceTable
	for _, entry := range schema.Elements(0, maxSourceTables) {
		if !entry.Object() {
			continue
		}
		table := SourceTable{Table: entry.Field("table").Text(1, maxIdentifier)}
		for _, column := range entry.Field("columns").Elements(1, maxColumns) {
			if column.Object() {
				table.Columns = append(table.Columns, Column{
					Name: column.Field("name").Text(1, maxIdentifier), Type: column.Field("type").Text(1, maxType),
				})
			}
		}
		tables = append(tables, table)
	}
	return tables
}

func readAdditions(value strictjson.Value) []Addition {
	var additions []Addition
	for _, entry := range value.Elements(0, maxColumns) {
		if entry.Object() {
			additions = append(additions, Addition{
				Table: entry.Field("table").Text(1, maxIdentifier), Column: entry.Field("column").Text(1,
					maxIdentifier),
				Type: entry.Field("type").Text(1, maxType),
			})
		}
	}
	return additions
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
			SHA256: entry.Field("sha256").Pattern(sha256Pattern, sha256Meaning),
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

// Verify reads the manifest of a run's folder and compares every file with it. A file that is
// listed and absent, has another size or another sha256, or is there and not listed is a problem;
// all are reported at once, in an *artifacts.Error. Names that begin with a dot or an underscore
// (Spark's markers, such as _SUCCESS) need not be listed.
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
	for _, table := range manifest.Tables.All() {
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
