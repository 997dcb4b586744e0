package sql

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed source
var sourceFiles embed.FS

// SourceSchemaVersion is the version of the source's schema. Raise it with every change under
// source/schema and source/accounts: a loader leaves a source alone whose version is higher than
// its own.
const SourceSchemaVersion = 1

// The users of the source. None has a password on AWS.
const (
	// SourceOwner is the login of the people who own the source: it changes rows and tables.
	SourceOwner = "owner"
	// ETLReader is the login of the job, and of everything else that reads the source for
	// operators.
	ETLReader = "etl_reader"
	// WebReader is the login of the web servers, at the source and at the vector store.
	WebReader = "web_reader"
)

// SourceRecord creates what the loader keeps of the source, beside it. Running it again changes
// nothing.
func SourceRecord() Script { return sourceScript("schema/record.sql") }

// SourceTables creates the source's tables. Running it again changes nothing.
func SourceTables() Script { return sourceScript("schema/tables.sql") }

// SourceAccounts returns the scripts that create the source's users and give them their rights,
// once its tables are there. On a server that checks IAM tokens, users log in with those; elsewhere
// they are locked. With encrypted, all must come by TLS. Running them again changes nothing.
func SourceAccounts(iam, encrypted bool) []Script {
	users := "accounts/locked.sql"
	if iam {
		users = "accounts/iam.sql"
	}
	scripts := []Script{sourceScript(users)}
	if encrypted {
		scripts = append(scripts, sourceScript("accounts/tls.sql"))
	}
	return append(scripts, sourceScript("accounts/rights.sql"))
}

// SourceHash returns the sha256, in hex, over the names and the contents of all SQL of the source.
// A custom resource that carries it runs again whenever any of that SQL changes.
func SourceHash() string {
	sum := sha256.New()
	err := fs.WalkDir(sourceFiles, "source", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text := sourceText(strings.TrimPrefix(name, "source/"))
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("sql: embedded folder: %v", err)) // only a broken build can get here
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// The parametrised statements of the source; each file says what its parameters are.
var (
	SourceChangeRating        = sourceStatement("change_rating")
	SourceDateRatings         = sourceStatement("date_ratings")
	SourceDeriveRatings       = sourceStatement("derive_ratings")
	SourceHasIAM              = sourceStatement("has_iam")
	SourceHasSchema           = sourceStatement("has_schema")
	SourceLoad                = sourceStatement("load")
	SourceLoaded              = sourceStatement("loaded")
	SourceRecordAdvance       = sourceStatement("record_advance")
	SourceRecordLoad          = sourceStatement("record_load")
	SourceRecordSchemaVersion = sourceStatement("record_schema_version")
	SourceDeployedVersion     = sourceStatement("schema_version")
	SourceWithdrawProduct     = sourceStatement("withdraw_product")
)

func sourceStatement(name string) string {
	return strings.TrimSuffix(strings.TrimSpace(sourceText("statements/"+name+".sql")), ";")
}

func sourceScript(name string) Script {
	return Script{Name: path.Join("source", name), Statements: split(sourceText(name))}
}

func sourceText(name string) string {
	text, err := sourceFiles.ReadFile(path.Join("source", name))
	if err != nil {
		panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
	}
	return string(text)
}
