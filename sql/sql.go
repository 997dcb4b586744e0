// Package sql embeds the SQL of the platform and names it. It opens no connection and imports no
// driver, so that the CDK app may hash what a loader will run.
//
// A script is a list of statements, separated by a semicolon and an empty line, which are sent one
// by one: a failure can then name its statement.
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

//go:embed vectors
var files embed.FS

const (
	// VectorSchemaVersion is the version of the vector store's schema. Raise it with every change
	// under vectors/schema: a loader leaves a store alone whose version is higher than its own.
	VectorSchemaVersion = 4
	// OwnerRole owns the vector store's schema and everything in it. It cannot log in.
	OwnerRole = "vector_owner"
	// ReaderRole is the login of inference, which reads everything that the vector store answers
	// with. That of the web servers, which read items only, is WebReader.
	ReaderRole = "inference_reader"
)

// Script is one embedded file of statements.
type Script struct {
	// Name is the path below sql/, for messages.
	Name string
	// Statements in the order in which they must run, each without its closing semicolon.
	Statements []string
}

// VectorSchema returns the scripts that create or upgrade the vector store, in the order in which
// they must run, inside one transaction. Running them again changes nothing.
func VectorSchema() []Script {
	entries, err := files.ReadDir("vectors/schema")
	if err != nil {
		panic(fmt.Sprintf("sql: embedded folder: %v", err)) // only a broken build can get here
	}
	scripts := make([]Script, 0, len(entries))
	for _, entry := range entries { // ReadDir sorts by name
		name := path.Join("vectors/schema", entry.Name())
		scripts = append(scripts, Script{Name: name, Statements: split(read(name))})
	}
	return scripts
}

// VectorHash returns the sha256, in hex, over the names and the contents of all SQL of the vector
// store. A custom resource that carries it runs again whenever any of that SQL changes.
func VectorHash() string {
	sum := sha256.New()
	err := fs.WalkDir(files, "vectors", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text := read(name)
		fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("sql: embedded folder: %v", err)) // only a broken build can get here
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// The parametrised statements of the vector store; each file says what its parameters are.
var (
	Activate              = statement("activate")
	Active                = statement("active")
	DeployedSchemaVersion = statement("deployed_schema_version")
	ExtensionVersion      = statement("extension_version")
	InsertVersion         = statement("insert_version")
	Nearest               = statement("nearest")
	RecordSchemaVersion   = statement("record_schema_version")
	Rollback              = statement("rollback")
	SetRun                = statement("set_run")
	SetState              = statement("set_state")
	Surplus               = statement("surplus")
	Switches              = statement("switches")
	UserVectors           = statement("user_vectors")
	Version               = statement("version")
	Versions              = statement("versions")
)

func statement(name string) string {
	return strings.TrimSuffix(strings.TrimSpace(read("vectors/statements/"+name+".sql")), ";")
}

func read(name string) string {
	text, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("sql: embedded file: %v", err)) // only a broken build can get here
	}
	return string(text)
}

// split cuts a script at every line that ends with a semicolon and is followed by an empty line or
// the end.
func split(script string) []string {
	var statements []string
	for _, piece := range strings.Split(strings.TrimSpace(script)+"\n\n", ";\n\n") {
		if piece = strings.TrimSpace(piece); piece != "" {
			statements = append(statements, piece)
		}
	}
	return statements
}
