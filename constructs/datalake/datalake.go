// Package datalake makes what reads the files of a bucket as tables: a catalogue, an Athena
// workgroup with a limit, and saved queries; and the bucket itself, where there is none yet. A
// table follows a list of files that a job publishes, or takes every object of a folder as it
// comes. It must not know what the tables say, nor who writes them.
package datalake

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsathena"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
	"diecast/constructs/securebucket"
)

// Format is the format of the files of all tables.
type Format string

const (
	// Parquet files have typed columns.
	Parquet Format = "parquet"
	// CSV files have a header line and quotes where they are needed (RFC 4180); to the catalogue
	// all of their columns are text.
	CSV Format = "csv"
)

// Column is a column by its name and Hive type.
type Column struct {
	Name, Type string
}

// Table is a table of the catalogue.
type Table struct {
	// Name is the table's, in lower case. Required.
	Name string
	// Description is for people. Default none.
	Description string
	// Folder is the key prefix, without a closing slash, of the folder with the one object that
	// lists the table's files, one URI a line. It never changes: what is published does. With Lines
	// it is that of the table's own objects.
	Folder string
	// Lines says that the table is all objects of its folder, and how they lie. Default nil: it
	// follows its list, in the lake's Format.
	Lines *Lines
	// Columns in their order. Required.
	Columns []Column
}

// Lines describes objects with one JSON document to a line, compressed where their keys say so.
type Lines struct {
	// AnyCase finds fields whatever the case of their names. A document in which two fields differ
	// by nothing else cannot be read then. Default false: the fields have the columns' names.
	AnyCase bool
	// Hours says that the folder has one folder for each hour. Default nil: objects may lie
	// anywhere in it, and every query lists them all.
	Hours *Hours
}

// Hours are folders by hour, in UTC, which Athena finds by their names alone (partition
// projection).
type Hours struct {
	// Column is the name of the column that holds the folder's name.
	Column string
	// Format is the folder's name, as a pattern of Java's DateTimeFormatter.
	Format string
	// Kept is how long objects are kept, in whole days: a query that asks for no hour looks so far
	// back, folder by folder.
	Kept time.Duration
}

// Query is a saved query.
type Query struct {
	// Name is the query's, unique in the workgroup. Required.
	Name string
	// Description is for people. Default none.
	Description string
	// SQL is in Athena's dialect; its tables are not qualified.
	SQL string
}

// Props configures a data lake.
type Props struct {
	// Over is the bucket that keeps the files, where something else has made it. Default nil: the
	// lake has one of its own, by Bucket.
	Over   *securebucket.Bucket
	Bucket securebucket.Props
	// Database is the catalogue's name for the lake, unique in account and region: letters, digits
	// and underscores. Required.
	Database string
	// Workgroup is Athena's, unique in account and region. Required.
	Workgroup string
	// Format of the files that tables list. Required where one has no Lines.
	Format Format
	Tables []Table
	// Queries are saved in the workgroup. Default none.
	Queries []Query
	// ScanLimitBytes is the most that one query may read, 10,000,000 or more. Required.
	ScanLimitBytes int
}

// Lake is a bucket with a catalogue.
type Lake struct {
	bucket    *securebucket.Bucket
	database  awsglue.CfnDatabase
	workgroup awsathena.CfnWorkGroup
}

// leastScanLimit is Athena's least for BytesScannedCutoffPerQuery (API reference,
// WorkGroupConfiguration).
const leastScanLimit = 10_000_000

var (
	databaseSyntax  = regexp.MustCompile(`^[a-z0-9_]{1,255}$`)
	workgroupSyntax = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)
)

// New makes a lake at id in scope.
func New(scope constructs.Construct, id string, p Props) *Lake {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	account := awscdk.Stack_Of(this).Account()
	lake := &Lake{bucket: p.Over}
	if lake.bucket == nil {
		lake.bucket = securebucket.New(this, "Lake", p.Bucket)
	}
	lake.database = awsglue.NewCfnDatabase(this, jsii.String("Database"), &awsglue.CfnDatabaseProps{
		CatalogId: account,
		DatabaseInput: &awsglue.CfnDatabase_DatabaseInputProperty{
			Name: jsii.String(p.Database), Description: jsii.String("Tables of the files in a bucket"),
		},
	})
	for _, table := range p.Tables {
		awsglue.NewCfnTable(this, jsii.String("Table_"+table.Name), &awsglue.CfnTableProps{
			CatalogId: account, DatabaseName: lake.database.Ref(), TableInput: p.describe(table, lake.bucket),
		})
	}
	lake.addWorkgroup(this, p)
	return lake
}

func (p Props) describe(table Table, bucket *securebucket.Bucket) *awsglue.CfnTable_TableInputProperty {
	if table.Lines != nil {
		return table.describeLines(bucket)
	}
	return p.describeListed(table, bucket)
}

// describeListed says how Athena reads a table: SymlinkTextInputFormat takes the files from the
// list in the table's folder, and the SerDe reads each by its format. Delta Lake and lakeFS publish
// to Athena in the same way.
func (p Props) describeListed(table Table, bucket *securebucket.Bucket) *awsglue.CfnTable_TableInputProperty {
	serde := &awsglue.CfnTable_SerdeInfoProperty{
		SerializationLibrary: jsii.String("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"),
	}
	parameters := map[string]*string{"EXTERNAL": jsii.String("TRUE"), "classification": jsii.String(string(p.Format))}
	if p.Format == CSV {
		serde.SerializationLibrary = jsii.String("org.apache.hadoop.hive.serde2.OpenCSVSerde")
		serde.Parameters = map[string]*string{
			"separatorChar": jsii.String(","), "quoteChar": jsii.String(`"`),
			// A quote is doubled, so nothing escapes. By default a backslash does, and is lost; the
			// SerDe takes the quote for that default, too. So it is a sign that no text has.
			"escapeChar": jsii.String("\u0001"),
		}
		parameters["skip.header.line.count"] = jsii.String("1")
	}
	columns := make([]any, 0, len(table.Columns))
	for _, column := range table.Columns {
		kind := column.Type
		if p.Format == CSV {
			kind = "string"
		}
		// The catalogue has lower case only, and finds a file's columns whatever theirs.
		columns = append(columns, &awsglue.CfnTable_ColumnProperty{
			Name: jsii.String(strings.ToLower(column.Name)), Type: jsii.String(kind),
		})
	}
	return &awsglue.CfnTable_TableInputProperty{
		Name: jsii.String(table.Name), Description: optional(table.Description),
		TableType:  jsii.String("EXTERNAL_TABLE"),
		Parameters: parameters,
		StorageDescriptor: &awsglue.CfnTable_StorageDescriptorProperty{
			Columns:      columns,
			Location:     table.location(bucket),
			InputFormat:  jsii.String("org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"),
			OutputFormat: jsii.String(textOutput),
			SerdeInfo:    serde,
		},
	}
}

// textOutput is the output format of every table: Athena wants one and never writes by it.
const textOutput = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

func (t Table) location(bucket *securebucket.Bucket) *string {
	return jsii.String("s3://" + *bucket.Name() + "/" + t.Folder + "/")
}

// describeLines says how Athena reads the objects of a folder (Amazon Athena user guide, "OpenX
// JSON SerDe" and "Use partition projection with Amazon Athena").
func (t Table) describeLines(bucket *securebucket.Bucket) *awsglue.CfnTable_TableInputProperty {
	columns := make([]any, 0, len(t.Columns))
	for _, column := range t.Columns {
		columns = append(columns, &awsglue.CfnTable_ColumnProperty{
			Name: jsii.String(column.Name), Type: jsii.String(column.Type),
		})
	}
	input := &awsglue.CfnTable_TableInputProperty{
		Name: jsii.String(t.Name), Description: optional(t.Description),
		TableType:  jsii.String("EXTERNAL_TABLE"),
		Parameters: map[string]*string{"EXTERNAL": jsii.String("TRUE"), "classification": jsii.String("json")},
		StorageDescriptor: &awsglue.CfnTable_StorageDescriptorProperty{
			Columns: columns, Location: t.location(bucket),
			InputFormat: jsii.String("org.apache.hadoop.mapred.TextInputFormat"), OutputFormat: jsii.String(textOutput),
			SerdeInfo: &awsglue.CfnTable_SerdeInfoProperty{
				SerializationLibrary: jsii.String("org.openx.data.jsonserde.JsonSerDe"),
				Parameters: map[string]*string{
					"case.insensitive": jsii.String(strings.ToUpper(strconv.FormatBool(t.Lines.AnyCase))),
				},
			},
		},
	}
	if hours := t.Lines.Hours; hours != nil {
		hours.project(input)
	}
	return input
}

// project tells Athena the folders of the hours that can hold anything. Two days more are kept in
// view: S3 deletes after the end of a day, and not at once.
func (h *Hours) project(input *awsglue.CfnTable_TableInputProperty) {
	input.PartitionKeys = []any{&awsglue.CfnTable_ColumnProperty{
		Name: jsii.String(h.Column), Type: jsii.String("string"),
	}}
	parameters := input.Parameters.(map[string]*string)
	for property, value := range map[string]string{
		"type": "date", "format": h.Format, "interval": "1", "interval.unit": "HOURS",
		"range": fmt.Sprintf("NOW-%dDAYS,NOW", int(h.Kept/(24*time.Hour))+2),
	} {
		parameters["projection."+h.Column+"."+property] = jsii.String(value)
	}
	parameters["projection.enabled"] = jsii.String("true")
	location := input.StorageDescriptor.(*awsglue.CfnTable_StorageDescriptorProperty).Location
	parameters["storage.location.template"] = jsii.String(*location + "${" + h.Column + "}/")
}

// optional is nil for nothing: CloudFormation refuses an empty description.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return jsii.String(text)
}

func (l *Lake) addWorkgroup(scope constructs.Construct, p Props) {
	l.workgroup = awsathena.NewCfnWorkGroup(scope, jsii.String("Workgroup"), &awsathena.CfnWorkGroupProps{
		Name: jsii.String(p.Workgroup), Description: jsii.String("Queries of the tables of a bucket"),
		// Its history of queries would refuse the deletion.
		RecursiveDeleteOption: jsii.Bool(true),
		WorkGroupConfiguration: &awsathena.CfnWorkGroup_WorkGroupConfigurationProperty{
			EnforceWorkGroupConfiguration: jsii.Bool(true),
			BytesScannedCutoffPerQuery:    jsii.Number(p.ScanLimitBytes),
			EngineVersion: &awsathena.CfnWorkGroup_EngineVersionProperty{
				SelectedEngineVersion: jsii.String("Athena engine version 3"),
			},
			// Athena keeps results for a day in storage of its own: no bucket holds copies of what
			// is deleted elsewhere.
			ManagedQueryResultsConfiguration: &awsathena.CfnWorkGroup_ManagedQueryResultsConfigurationProperty{
				Enabled: jsii.Bool(true),
			},
			PublishCloudWatchMetricsEnabled: jsii.Bool(true),
		},
	})
	nag.Accept(l.workgroup, nag.Exception{Rule: "AwsSolutions-ATH1",
		Reason: "Results lie in storage that Athena manages and encrypts by itself; there is no results bucket to " +
			"encrypt."})
	for _, query := range p.Queries {
		awsathena.NewCfnNamedQuery(scope, jsii.String("Query_"+query.Name), &awsathena.CfnNamedQueryProps{
			Name: jsii.String(query.Name), Description: optional(query.Description), Database: l.database.Ref(),
			WorkGroup: l.workgroup.Ref(), QueryString: jsii.String(query.SQL),
		})
	}
}

func (p Props) validate() {
	if !databaseSyntax.MatchString(p.Database) {
		panic(fmt.Sprintf("datalake: Database must be lower-case letters, digits and underscores, got %q; Athena "+
			"quotes any other", p.Database))
	}
	if !workgroupSyntax.MatchString(p.Workgroup) {
		panic(fmt.Sprintf("datalake: Workgroup must be 1 to 128 letters, digits, dots, underscores and hyphens, got "+
			"%q; see CreateWorkGroup", p.Workgroup))
	}
	listed := slices.ContainsFunc(p.Tables, func(t Table) bool { return t.Lines == nil })
	if listed && p.Format != Parquet && p.Format != CSV {
		panic(fmt.Sprintf("datalake: Format must be %s or %s, got %q; name one", Parquet, CSV, p.Format))
	}
	if p.ScanLimitBytes < leastScanLimit {
		panic(fmt.Sprintf("datalake: ScanLimitBytes must be at least %d, got %d; Athena takes no less", leastScanLimit,
			p.ScanLimitBytes))
	}
	names := map[string]string{}
	for _, table := range p.Tables {
		if table.Name != strings.ToLower(table.Name) || table.Name == "" || table.Folder == "" ||
			len(table.Columns) == 0 {
			panic(fmt.Sprintf("datalake: a table needs a lower-case Name, a Folder and Columns, got %+v; see Table",
				table))
		}
		table.validateHours()
		if other, taken := names[table.Folder]; taken {
			panic(fmt.Sprintf("datalake: tables need folders of their own, got %s for %s and %s; each follows its "+
				"own list",
				table.Folder, other, table.Name))
		}
		names[table.Folder] = table.Name
	}
	if distinct := slices.Compact(slices.Sorted(maps.Values(names))); len(distinct) != len(p.Tables) {
		panic(fmt.Sprintf("datalake: tables need names of their own, got %v; name each once", distinct))
	}
}

func (t Table) validateHours() {
	if t.Lines == nil || t.Lines.Hours == nil {
		return
	}
	hours := *t.Lines.Hours
	named := func(column Column) bool { return column.Name == hours.Column }
	if !databaseSyntax.MatchString(hours.Column) || hours.Format == "" || slices.ContainsFunc(t.Columns, named) ||
		hours.Kept < 24*time.Hour || hours.Kept%(24*time.Hour) != 0 {
		panic(fmt.Sprintf("datalake: Hours need a Column that is no other, a Format, and whole days of Kept, got %+v "+
			"for %s; see Hours", hours, t.Name))
	}
}

// Bucket keeps the files.
func (l *Lake) Bucket() *securebucket.Bucket { return l.bucket }

// Database is the catalogue's name for the lake.
func (l *Lake) Database() *string { return l.database.Ref() }

// Workgroup is Athena's.
func (l *Lake) Workgroup() *string { return l.workgroup.Ref() }
