// Package datalake makes a bucket whose tables a job publishes, and what reads them: a catalogue
// that follows the published files, an Athena workgroup with a limit, and saved queries. It must
// not know what the tables say, nor who writes them.
package datalake

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

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
	// lists the table's files, one URI a line. It never changes: what is published does.
	Folder string
	// Columns in their order. Required.
	Columns []Column
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
	// Bucket keeps the files.
	Bucket securebucket.Props
	// Database is the catalogue's name for the lake, unique in account and region: letters, digits
	// and underscores. Required.
	Database string
	// Workgroup is Athena's, unique in account and region. Required.
	Workgroup string
	// Format of the tables' files. Required.
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
	lake := &Lake{bucket: securebucket.New(this, "Lake", p.Bucket)}
	lake.database = awsglue.NewCfnDatabase(this, jsii.String("Database"), &awsglue.CfnDatabaseProps{
		CatalogId: account,
		DatabaseInput: &awsglue.CfnDatabase_DatabaseInputProperty{
			Name: jsii.String(p.Database), Description: jsii.String("Tables of what is published in the lake"),
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

// describe says how Athena reads a table: SymlinkTextInputFormat takes the files from the list in
// the table's folder, and the SerDe reads each by its format. Delta Lake and lakeFS publish to
// Athena in the same way.
func (p Props) describe(table Table, bucket *securebucket.Bucket) *awsglue.CfnTable_TableInputProperty {
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
			Location:     jsii.String("s3://" + *bucket.Name() + "/" + table.Folder + "/"),
			InputFormat:  jsii.String("org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"),
			OutputFormat: jsii.String("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"),
			SerdeInfo:    serde,
		},
	}
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
		Name: jsii.String(p.Workgroup), Description: jsii.String("Queries of the lake's tables"),
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
	if p.Format != Parquet && p.Format != CSV {
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

// Bucket keeps the files.
func (l *Lake) Bucket() *securebucket.Bucket { return l.bucket }

// Database is the catalogue's name for the lake.
func (l *Lake) Database() *string { return l.database.Ref() }

// Workgroup is Athena's.
func (l *Lake) Workgroup() *string { return l.workgroup.Ref() }
