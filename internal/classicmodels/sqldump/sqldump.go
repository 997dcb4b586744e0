// Package sqldump reads what mysqldump and its like write: the tables that a file creates and the
// rows that it inserts, one by one. It understands MySQL's lexical rules and the statements CREATE
// TABLE and INSERT (REPLACE counts as INSERT), follows what changes the meaning of those (USE, SET
// sql_mode and character sets, DELIMITER), passes over what does not change rows, and refuses
// everything else: a table that is misread is worse than one that is refused. It must not know what
// tables are expected.
package sqldump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Error of a dump.
type Error struct {
	File   string
	Line   int
	Reason string
}

// Error is file:line: reason.
func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason) }

// Table that the dump creates.
type Table struct {
	// Database is the one that the statement or the last USE names; empty where neither does.
	Database, Name string
	Columns        []Column
	Line           int
}

// Column of a table. Type is in lower case without an integer's display width: varchar(50), int,
// decimal(10,2), int unsigned.
type Column struct {
	Name, Type string
	Nullable   bool
	// Default tells that the table gives a value of its own, other than null, where a row has none.
	Default bool
}

// Kind of a literal.
type Kind int

// The literals of an INSERT.
const (
	Null Kind = iota
	Number
	String // text or bytes as in the file; Charset says in which character set
	Bytes  // from hexadecimal, bits or _binary
)

// Literal value.
type Literal struct {
	Kind Kind
	Text string
	// Charset of a String: Undeclared, UTF8 or Latin1.
	Charset string
	Line    int
}

// Row of an INSERT.
type Row struct {
	Database, Table string
	// Columns that the statement names; nil when it leaves them out and means all.
	Columns []string
	Values  []Literal
	// Zone is the time_zone in which values of type timestamp stand, such as +00:00; SYSTEM where
	// the file does not say.
	Zone string
	Line int
}

// Handler receives what is in a dump. An error of a function ends the reading and is returned.
type Handler struct {
	Table func(Table) error
	Row   func(Row) error
	// Wanted tells whether a table's values are. The rows of others come without, are read in flat
	// memory and may be of any size. Optional: all are wanted.
	Wanted func(database, table string) bool
	// Drop tells that a table which was created is gone again. It had no rows. Optional.
	Drop func(database, table string)
}

// Read reads a dump in memory bounded by the longest row, which MaxRow bounds: plain text, or
// packed by gzip, or in UTF-16 that holds ASCII only. Errors in it are *Error with the file's name,
// the line and the reason; those of the source and the handler are returned as they are.
func Read(file string, source io.Reader, handler Handler) error {
	checked := &sourceReader{source: source}
	content, err := text(file, checked)
	line := 1
	if err == nil {
		failing := &sourceReader{source: content}
		p := &parser{
			lexer: lexer{file: file, reader: bufio.NewReaderSize(failing, 64<<10), line: 1, delimiter: ";"},
			session: session{
				zone:      "SYSTEM",
				variables: map[string]string{},
			}, handler: handler, created: map[string]*created{},
		}
		p.remark = p.announced
		err = p.run()
		if line = p.line; failing.err != nil {
			err = failing.err
		}
	}
	if checked.err != nil {
		return fmt.Errorf("%s:%d: cannot be read: %w", file, line, checked.err)
	}
	return err
}

// sourceReader keeps the source's failure, which looks like the end of the file to the lexer.
type sourceReader struct {
	source io.Reader
	err    error
}

func (r *sourceReader) Read(b []byte) (int, error) {
	if r.err != nil {
		return 0, io.EOF
	}
	n, err := r.source.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err, err = err, io.EOF
	}
	return n, err
}

// created is what is known of a table that the file creates or fills.
type created struct {
	line int // 0 where the file has only rows for it
	rows bool
}

const (
	// maxTables bounds the memory; a dump of all databases has hundreds.
	maxTables = 100_000
	// maxName is more than any name of MySQL's takes: 64 characters, an alias's 256.
	maxName = 1024
	// maxHeld is how many bytes are held of a statement that brings no rows; a real one has some
	// thousands.
	maxHeld = 1 << 20
)

type parser struct {
	lexer
	session
	handler Handler
	token   token // the one looked at
	created map[string]*created
	// Lines of what the file has begun and must end: a tool's dump, a transaction, locked tables. 0
	// where nothing is open.
	dump, transaction, locks int
	skipped                  skipped
}

// advance goes to the next token. Under a delimiter of its own a statement has no semicolon but in
// a routine's body: a server runs what follows one as a statement of its own.
func (p *parser) advance() error {
	current := p.token
	var err error
	if p.token, err = p.next(); err != nil {
		return err
	}
	if p.token.symbol(";") && !p.skipped.body {
		return p.errorf(
			p.token.line, "a semicolon within a statement that DELIMITER %s is to end: expected %s before it",
			p.delimiter, p.delimiter,
		)
	}
	return p.watch(current)
}

func (p *parser) run() error {
	if err := p.advance(); err != nil {
		return err
	}
	for p.token.kind != tokenEnd {
		if err := p.statement(); err != nil {
			return err
		}
	}
	switch {
	case p.dump > 0:
		return p.errorf(
			p.dump,
			"the dump that starts here lacks the last line of its tool (-- Dump completed): the file is truncated",
		)
	case p.transaction > 0:
		return p.errorf(p.transaction, "the transaction that starts here has no COMMIT: the file is truncated")
	case p.locks > 0:
		return p.errorf(p.locks, "the tables that are locked here are never unlocked: the file is truncated")
	}
	return nil
}

// announced reads what tools say of themselves in comments.
func (p *parser) announced(text string, line int) error {
	begins := func(heads ...string) bool {
		return slices.ContainsFunc(heads, func(head string) bool { return strings.HasPrefix(text, head) })
	}
	switch {
	case begins("MySQL dump ", "MariaDB dump ", "Dump created by MySQL pump utility"):
		if p.dump > 0 {
			return p.errorf(
				p.dump,
				"the dump that starts here lacks the last line of its tool (-- Dump completed) "+
					"before the one of line %d",
				line,
			)
		}
		p.dump = line
	case begins("Dump completed", "Dump end time"):
		p.dump = 0
	case begins("PostgreSQL database", "Dumped from database version", "Dumped by pg_dump"):
		return p.errorf(line, "the file is a dump of PostgreSQL, expected one of MySQL or MariaDB")
	case begins("File generated with SQLiteStudio"):
		return p.errorf(line, "the file is a dump of SQLite, expected one of MySQL or MariaDB")
	}
	return nil
}

// unread are statements that would change rows in a way that is not followed, or that other
// databases' dumps have.
var unread = map[string]string{
	"UPDATE": "", "LOAD": "", "CALL": "", "RENAME": "", "EXECUTE": "", "PREPARE": "", "HANDLER": "",
	"IMPORT": "", "ROLLBACK": "", "XA": "", "DO": "",
	"PRAGMA": "the file is a dump of SQLite", "ATTACH": "the file is a dump of SQLite",
	"COPY": "the file is a dump of PostgreSQL", "SELECT": "PostgreSQL's dumps have it",
	"GO": "the file is a script of SQL Server", "PRINT": "the file is a script of SQL Server",
	"EXEC":   "the file is a script of SQL Server",
	"PROMPT": "the file is a script of Oracle", "REM": "the file is a script of Oracle",
}

// harmless statements change no rows.
var harmless = []string{"ANALYZE", "CHANGE", "FLUSH", "GRANT", "OPTIMIZE", "REVOKE", "STOP"}

func (p *parser) statement() error {
	p.skipped = skipped{}
	first := p.token
	if first.kind == tokenDelimiter {
		return p.advance()
	}
	if first.kind != tokenWord {
		return p.errorf(first.line, "a statement cannot start with %s", first)
	}
	switch keyword := strings.ToUpper(first.text); keyword {
	case "DELIMITER":
		return p.setDelimiter()
	case "CREATE":
		return p.create()
	case "INSERT", "REPLACE":
		return p.insert()
	case "SET":
		return p.set()
	case "USE":
		return p.use()
	case "DROP":
		return p.drop()
	case "TRUNCATE", "DELETE":
		return p.empty()
	case "ALTER":
		return p.alter()
	case "BEGIN", "START", "COMMIT":
		return p.transact()
	case "LOCK":
		return p.lock()
	case "UNLOCK":
		p.locks = 0
		if err := p.accept("UNLOCK", "TABLES", "TABLE", "INSTANCE"); err != nil {
			return err
		}
		return p.endStatement(first.line)
	default:
		if slices.Contains(harmless, keyword) {
			if err := p.advance(); err != nil {
				return err
			}
			p.skipped.grant = first.is("GRANT", "REVOKE")
			return p.skipStatement(first.line)
		}
		if why, found := unread[keyword]; found {
			if why == "" {
				why = "a dump creates tables and inserts rows, nothing else may change them"
			}
			return p.errorf(first.line, "%s is not read: %s; expected a dump of MySQL or MariaDB", keyword, why)
		}
		return p.errorf(
			first.line,
			"%s starts no statement of a dump: expected CREATE TABLE, INSERT and what goes with them "+
				"(is it a message of the tool that wrote the file?)",
			first,
		)
	}
}

// endStatement is skipStatement where nothing may be left of the statement.
func (p *parser) endStatement(line int) error {
	switch p.token.kind {
	case tokenEnd:
		return p.truncated(line)
	case tokenDelimiter:
		return p.advance()
	}
	if p.token.is(statements...) {
		return p.endless(line, p.token.line)
	}
	return p.errorf(p.token.line, "expected the end of the statement of line %d, found %s", line, p.token)
}

func (p *parser) truncated(statement int) error {
	return p.errorf(statement, "the statement that starts here has no end: the file is truncated")
}

// setDelimiter reads the client's command DELIMITER, which takes the rest of the line.
func (p *parser) setDelimiter() error {
	line := p.token.line
	var rest []byte
	for {
		c, err := p.read()
		if err != nil || c == '\n' {
			break
		}
		if rest = append(rest, c); len(rest) > 100 {
			return p.errorf(line, "DELIMITER: expected one or two signs, such as ;;")
		}
	}
	delimiter := strings.TrimSpace(string(rest))
	sign := func(r rune) bool { return strings.ContainsRune("!$%&/:;|~^", r) }
	if delimiter == "" || strings.ContainsFunc(delimiter, func(r rune) bool { return !sign(r) }) {
		return p.errorf(line, "DELIMITER: expected one or two signs, such as ;;")
	}
	p.delimiter = delimiter
	return p.advance()
}

func (p *parser) use() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	name, err := p.name(line)
	if err != nil {
		return err
	}
	p.database = name
	return p.endStatement(line)
}

// lock reads LOCK TABLES and LOCK INSTANCE.
func (p *parser) lock() error {
	line := p.token.line
	p.locks = line
	if err := p.accept("LOCK", "INSTANCE", "FOR", "BACKUP", "TABLES", "TABLE"); err != nil {
		return err
	}
	for p.token.kind == tokenName || p.token.kind == tokenWord {
		if _, _, err := p.tableName(line); err != nil {
			return err
		}
		if err := p.accept("AS"); err != nil {
			return err
		}
		if p.token.kind == tokenName || p.token.kind == tokenWord && !p.token.is("READ", "LOW_PRIORITY", "WRITE") {
			if err := p.advance(); err != nil { // an alias
				return err
			}
		}
		if err := p.accept("READ", "LOCAL", "LOW_PRIORITY", "WRITE", "CONCURRENT"); err != nil {
			return err
		}
		if !p.token.symbol(",") {
			break
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.endStatement(line)
}

// transact reads BEGIN, START TRANSACTION and COMMIT, and passes over START REPLICA and the like.
func (p *parser) transact() error {
	first := p.token
	if err := p.advance(); err != nil {
		return err
	}
	switch {
	case first.is("COMMIT"):
		p.transaction = 0
		if err := p.accept("WORK", "AND"); err != nil {
			return err
		}
		if p.token.is("CHAIN") {
			p.transaction = first.line
		}
		if err := p.accept("NO", "CHAIN", "NO", "RELEASE"); err != nil {
			return err
		}
		return p.endStatement(first.line)
	case first.is("BEGIN") && p.token.is("TRANSACTION"):
		return p.errorf(
			first.line,
			"BEGIN TRANSACTION: the file is a dump of SQLite or a script of SQL Server, "+
				"expected a dump of MySQL or MariaDB",
		)
	case first.is("BEGIN") && p.token.kind != tokenDelimiter && !p.token.is("WORK"):
		return p.errorf(first.line, "BEGIN %s is not read: expected the start of a transaction", p.token)
	case first.is("BEGIN"), p.token.is("TRANSACTION"):
		p.transaction = first.line
		if err := p.accept("WORK", "TRANSACTION"); err != nil {
			return err
		}
		for p.token.symbol(",") || p.token.is("WITH", "CONSISTENT", "SNAPSHOT", "READ", "ONLY", "WRITE") {
			if err := p.advance(); err != nil {
				return err
			}
		}
		return p.endStatement(first.line)
	}
	return p.skipStatement(first.line)
}

func (p *parser) expect(symbol string, statement int) error {
	if p.token.kind == tokenEnd {
		return p.truncated(statement)
	}
	if !p.token.symbol(symbol) {
		return p.errorf(p.token.line, "expected %q, found %s", symbol, p.token)
	}
	return p.advance()
}

// accept goes behind the keywords where they are next, in this order; each may be missing.
func (p *parser) accept(keywords ...string) error {
	for _, keyword := range keywords {
		if p.token.is(keyword) {
			if err := p.advance(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *parser) name(statement int) (string, error) {
	switch p.token.kind {
	case tokenEnd:
		return "", p.truncated(statement)
	case tokenName, tokenWord:
		name := p.token.text
		if len(name) > maxName {
			return "", p.errorf(p.token.line, "a name of more than %d bytes", maxName)
		}
		return name, p.advance()
	}
	return "", p.errorf(p.token.line, "expected a name, found %s", p.token)
}

// tableName is the table's name and that of the database which it or the last USE names.
func (p *parser) tableName(statement int) (database, table string, err error) {
	database = p.database
	if table, err = p.name(statement); err != nil || !p.token.symbol(".") {
		return database, table, err
	}
	if err = p.advance(); err != nil {
		return "", "", err
	}
	database = table
	if table, err = p.name(statement); err == nil && p.token.symbol(".") {
		err = p.errorf(p.token.line, "expected a table's name of one or two parts")
	}
	return database, table, err
}

// known is the table's entry. MySQL's names are compared without case, as they are on most machines
// that write dumps.
func (p *parser) known(database, table string) (*created, error) {
	key := strings.ToLower(database) + "\x00" + strings.ToLower(table)
	if p.created[key] == nil {
		if len(p.created) == maxTables {
			return nil, p.errorf(p.token.line, "the file has more than %d tables", maxTables)
		}
		p.created[key] = &created{}
	}
	return p.created[key], nil
}
