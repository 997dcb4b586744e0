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
	// Drop tells that a table which was created is gone again. It had no rows. Optional.
	Drop func(database, table string)
}

// Read reads a dump in memory bounded by the longest row: plain text, or packed by gzip, or in
// UTF-16 that holds ASCII only. Errors in it are *Error with the file's name, the line and the
// reason; those of the source and the handler are returned as they are.
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

// maxTables bounds the memory; a dump of all databases has hundreds.
const maxTables = 100_000

type parser struct {
	lexer
	session
	handler Handler
	token   token // the one looked at
	created map[string]*created
	// Lines of what the file has begun and must end: a tool's dump, a transaction, locked tables. 0
	// where nothing is open.
	dump, transaction, locks int
}

func (p *parser) advance() (err error) {
	p.token, err = p.next()
	return err
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
				"the dump that starts here lacks the last line of its tool (-- Dump completed) before the one of line %d",
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
	"UPDATE": "", "LOAD": "", "CALL": "", "RENAME": "", "EXECUTE": "", "PREPARE": "", "HANDLER": "", "IMPORT": "", "ROLLBACK": "", "XA": "", "DO": "",
	"PRAGMA": "the file is a dump of SQLite", "ATTACH": "the file is a dump of SQLite",
	"COPY": "the file is a dump of PostgreSQL", "SELECT": "PostgreSQL's dumps have it",
	"GO": "the file is a script of SQL Server", "PRINT": "the file is a script of SQL Server", "EXEC": "the file is a script of SQL Server",
	"PROMPT": "the file is a script of Oracle", "REM": "the file is a script of Oracle",
}

// harmless statements change no rows.
var harmless = []string{"ANALYZE", "CHANGE", "FLUSH", "GRANT", "OPTIMIZE", "REVOKE", "STOP"}

func (p *parser) statement() error {
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
	case "LOCK", "UNLOCK":
		p.locks = first.line
		if keyword == "UNLOCK" {
			p.locks = 0
		}
		return p.skipStatement(first.line)
	default:
		if slices.Contains(harmless, keyword) {
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

// skipStatement goes behind the statement's end.
func (p *parser) skipStatement(line int) error {
	var last []token
	for p.token.kind != tokenDelimiter {
		if p.token.kind == tokenEnd {
			return p.truncated(line)
		}
		if last = append(last, p.token); len(last) > 2 {
			last = last[1:]
		}
		if p.beginsStatement(last) {
			return p.swallowed(line)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}

// beginsStatement tells whether the last tokens start another statement: then the one being skipped
// lacks its end, and what follows would be lost with it. The bodies of routines hold statements, so
// nothing is told under a delimiter of their own.
func (p *parser) beginsStatement(last []token) bool {
	if len(last) < 2 || p.delimiter != ";" {
		return false
	}
	first, second := last[len(last)-2], last[len(last)-1]
	return (first.is("INSERT") || first.is("REPLACE")) && (second.is("INTO") || second.is("IGNORE")) ||
		(first.is("CREATE") || first.is("TRUNCATE") || first.is("ALTER") || first.is("DROP")) && second.is("TABLE") ||
		first.is("DELETE") && second.is("FROM") || first.is("LOAD") && second.is("DATA")
}

func (p *parser) swallowed(line int) error {
	return p.errorf(
		line, "the statement that starts here has no end before the next one in line %d: a semicolon is missing",
		p.token.line,
	)
}

// endStatement is skipStatement where nothing may be left of the statement.
func (p *parser) endStatement(line int) error {
	switch p.token.kind {
	case tokenEnd:
		return p.truncated(line)
	case tokenDelimiter:
		return p.advance()
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

// transact reads BEGIN, START TRANSACTION and COMMIT, and passes over START REPLICA and the like.
func (p *parser) transact() error {
	first := p.token
	if err := p.advance(); err != nil {
		return err
	}
	switch {
	case first.is("COMMIT"):
		p.transaction = 0
	case first.is("BEGIN") && p.token.is("TRANSACTION"):
		return p.errorf(
			first.line,
			"BEGIN TRANSACTION: the file is a dump of SQLite or a script of SQL Server, expected a dump of MySQL or MariaDB",
		)
	case first.is("BEGIN") && p.token.kind != tokenDelimiter && !p.token.is("WORK"):
		return p.errorf(first.line, "BEGIN %s is not read: expected the start of a transaction", p.token)
	case first.is("BEGIN"), p.token.is("TRANSACTION"):
		p.transaction = first.line
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

// drop reads DROP TABLE and DROP DATABASE, which are harmless before what they drop is filled, and
// skips the others.
func (p *parser) drop() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	wholeDatabase := p.token.is("DATABASE") || p.token.is("SCHEMA")
	if !wholeDatabase && !p.token.is("TABLE") && !p.token.is("TEMPORARY") {
		return p.skipStatement(line)
	}
	if err := p.accept("DATABASE", "SCHEMA", "TEMPORARY", "TABLE", "IF", "EXISTS"); err != nil {
		return err
	}
	for {
		var database, table string
		var err error
		if wholeDatabase {
			database, err = p.name(line)
		} else {
			database, table, err = p.tableName(line)
		}
		if err != nil {
			return err
		}
		if err := p.dropped(line, wholeDatabase, database, table); err != nil {
			return err
		}
		if !p.token.symbol(",") {
			break
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.skipStatement(line)
}

func (p *parser) dropped(line int, wholeDatabase bool, database, table string) error {
	prefix := strings.ToLower(database) + "\x00"
	for key, entry := range p.created {
		name, inside := strings.CutPrefix(key, prefix)
		if !inside || !wholeDatabase && name != strings.ToLower(table) {
			continue
		}
		if entry.rows {
			return p.errorf(line, "DROP removes rows of table %s, which the file has inserted before", name)
		}
		delete(p.created, key)
		if p.handler.Drop != nil && entry.line > 0 {
			p.handler.Drop(database, name)
		}
	}
	return nil
}

// empty reads TRUNCATE TABLE and DELETE FROM, which some tools write before a table's rows.
func (p *parser) empty() error {
	first := p.token
	if err := p.advance(); err != nil {
		return err
	}
	if first.is("DELETE") && !p.token.is("FROM") {
		return p.errorf(first.line, "DELETE is not read but as DELETE FROM with one table")
	}
	if err := p.accept("TABLE", "FROM"); err != nil {
		return err
	}
	database, table, err := p.tableName(first.line)
	if err != nil {
		return err
	}
	entry, err := p.known(database, table)
	if err != nil {
		return err
	}
	if entry.rows {
		return p.errorf(
			first.line, "%s removes rows of table %s, which the file has inserted before",
			strings.ToUpper(first.text), table,
		)
	}
	if p.token.symbol(",") {
		return p.errorf(first.line, "%s is not read but with one table", strings.ToUpper(first.text))
	}
	return p.skipStatement(first.line)
}

// keyParts may follow ADD in ALTER TABLE: they leave columns and rows as they are.
var keyParts = []string{"PRIMARY", "KEY", "INDEX", "UNIQUE", "CONSTRAINT", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"}

// tableOptions are what else may start a part of ALTER TABLE.
var tableOptions = []string{
	"DISABLE", "ENABLE", "AUTO_INCREMENT", "ENGINE", "COMMENT", "DEFAULT", "CHARACTER", "CHARSET", "COLLATE",
	"CONVERT", "ROW_FORMAT",
}

// alter reads ALTER TABLE, which phpMyAdmin writes to add keys and AUTO_INCREMENT, and refuses what
// changes columns.
func (p *parser) alter() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	if !p.token.is("TABLE") {
		return p.skipStatement(line)
	}
	if err := p.accept("TABLE", "IF", "EXISTS"); err != nil {
		return err
	}
	_, table, err := p.tableName(line)
	if err != nil {
		return err
	}
	for {
		var part []token
		for depth := 0; p.token.kind != tokenDelimiter && (depth > 0 || !p.token.symbol(",")); {
			switch {
			case p.token.kind == tokenEnd:
				return p.truncated(line)
			case p.token.symbol("("):
				depth++
			case p.token.symbol(")"):
				depth--
			}
			if part = append(part, p.token); len(part) > maxColumns {
				return p.errorf(line, "ALTER TABLE %.40s: a part has more than %d words", table, maxColumns)
			}
			if p.beginsStatement(part) {
				return p.swallowed(line)
			}
			if err := p.advance(); err != nil {
				return err
			}
		}
		if !keepsColumns(part) {
			return p.errorf(
				line,
				"ALTER TABLE %.40s is not read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
				table,
			)
		}
		if p.token.kind == tokenDelimiter {
			return p.advance()
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
}

func keepsColumns(part []token) bool {
	word := func(i int, words ...string) bool {
		return i < len(part) && slices.ContainsFunc(words, part[i].is)
	}
	if word(0, "MODIFY") {
		moved := slices.ContainsFunc(part, func(t token) bool { return t.is("FIRST") || t.is("AFTER") })
		return !moved && slices.ContainsFunc(part, func(t token) bool { return t.is("AUTO_INCREMENT") })
	}
	return word(0, tableOptions...) || word(0, "ADD") && word(1, keyParts...)
}

// maxColumns is MySQL's own limit of a table.
const maxColumns = 4096

func (p *parser) create() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.accept("OR", "REPLACE"); err != nil {
		return err
	}
	if !p.token.is("TABLE") {
		return p.createOther(line)
	}
	if err := p.accept("TABLE", "IF", "NOT", "EXISTS"); err != nil {
		return err
	}
	database, name, err := p.tableName(line)
	if err != nil {
		return err
	}
	table := Table{Database: database, Name: name, Line: line}
	if err := p.expect("(", line); err != nil {
		return err
	}
	for {
		if err := p.definition(&table); err != nil {
			return err
		}
		if len(table.Columns) > maxColumns {
			return p.errorf(line, "table %.40s has more than %d columns", name, maxColumns)
		}
		if !p.token.symbol(",") {
			break
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	if err := p.expect(")", line); err != nil {
		return err
	}
	if err := p.options(line); err != nil {
		return err
	}
	entry, err := p.known(database, name)
	if err != nil {
		return err
	}
	if entry.line > 0 {
		return p.errorf(line, "table %s is created again (first in line %d)", name, entry.line)
	}
	entry.line = line
	return p.handler.Table(table)
}

// createOther passes over views, routines, users and the like.
func (p *parser) createOther(line int) error {
	for p.token.kind != tokenDelimiter {
		switch {
		case p.token.is("TEMPORARY"):
			return p.errorf(line, "CREATE TEMPORARY TABLE is not read: expected tables that stay")
		case p.delimiter == ";" && (p.token.is("TRIGGER") || p.token.is("PROCEDURE") || p.token.is("FUNCTION") || p.token.is("EVENT")):
			return p.errorf(
				line, "CREATE %s without a DELIMITER of its own is not read: where its body ends cannot be told",
				strings.ToUpper(p.token.text),
			)
		case p.token.kind == tokenWord && !slices.ContainsFunc(viewParts, p.token.is):
			return p.skipStatement(line)
		case p.token.kind == tokenEnd:
			return p.truncated(line)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}

// viewParts may stand between CREATE and what is created.
var viewParts = []string{
	"ALGORITHM", "UNDEFINED", "MERGE", "TEMPTABLE", "DEFINER", "CURRENT_USER", "SQL", "SECURITY", "INVOKER",
	"AGGREGATE", "@",
}

// options passes over what follows a table's columns, which must bring no rows.
func (p *parser) options(line int) error {
	var last []token
	for p.token.kind != tokenDelimiter {
		switch {
		case p.token.kind == tokenEnd:
			return p.truncated(line)
		case p.token.is("SELECT"):
			return p.errorf(line, "CREATE TABLE with SELECT is not read: expected columns, and INSERT for the rows")
		}
		if last = append(last, p.token); len(last) > 2 {
			last = last[1:]
		}
		if p.beginsStatement(last) {
			return p.swallowed(line)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}

// definition reads one column or key of a CREATE TABLE.
func (p *parser) definition(table *Table) error {
	if p.token.kind == tokenWord {
		switch strings.ToUpper(p.token.text) {
		case "PRIMARY":
			return p.primaryKey(table)
		case "KEY", "INDEX", "UNIQUE", "CONSTRAINT", "FOREIGN", "FULLTEXT", "SPATIAL", "CHECK":
			_, err := p.attributes(table.Line)
			return err
		case "PERIOD":
			return p.errorf(p.token.line, "table %.40s keeps old versions of its rows, which is not read", table.Name)
		}
	}
	name, err := p.name(table.Line)
	if err != nil {
		return err
	}
	if p.token.kind != tokenWord {
		return p.errorf(p.token.line, "expected the type of column %s, found %s", name, p.token)
	}
	attributes, err := p.attributes(table.Line)
	if err != nil {
		return err
	}
	table.Columns = append(table.Columns, column(name, attributes))
	return nil
}

// attribute of a definition: a word, a text, or what stands in brackets.
type attribute struct {
	text string
	word bool
}

func (a attribute) is(words ...string) bool { return a.word && slices.Contains(words, a.text) }

// attributes reads to the comma or bracket that ends a definition. What is in brackets is one
// attribute.
func (p *parser) attributes(statement int) ([]attribute, error) {
	const most = 1 << 20
	var all []attribute
	depth, size := 0, 0
	for {
		switch {
		case p.token.kind == tokenEnd, p.token.kind == tokenDelimiter:
			return nil, p.truncated(statement)
		case depth == 0 && (p.token.symbol(",") || p.token.symbol(")")):
			return all, nil
		}
		text := p.token.text
		switch {
		case p.token.symbol("("):
			if depth == 0 {
				all = append(all, attribute{})
			}
			depth++
		case p.token.symbol(")"):
			depth--
		}
		switch {
		case depth > 0 || p.token.symbol(")"):
			all[len(all)-1].text += text
		case p.token.kind == tokenWord:
			all = append(all, attribute{strings.ToLower(text), true})
		default:
			all = append(all, attribute{text: text})
		}
		if size += 1 + len(text); size > most {
			return nil, p.errorf(
				statement, "the statement that starts here has a definition of more than %d bytes", most,
			)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func column(name string, attributes []attribute) Column {
	c := Column{Name: name, Type: attributes[0].text, Nullable: true}
	rest := attributes[1:]
	if len(rest) > 0 && !rest[0].word && strings.HasPrefix(rest[0].text, "(") {
		if !strings.HasSuffix(c.Type, "int") && c.Type != "integer" { // an integer's width is for display only
			c.Type += rest[0].text
		}
		rest = rest[1:]
	}
	for i, attribute := range rest {
		switch {
		case attribute.is("unsigned"):
			c.Type += " unsigned"
		case attribute.is("null") && i > 0 && rest[i-1].is("not"), attribute.is("primary"):
			c.Nullable = false
		case attribute.is("default") && !(i+1 < len(rest) && rest[i+1].is("null")),
			attribute.is("auto_increment", "as", "generated"):
			c.Default = true
		}
	}
	return c
}

func (p *parser) primaryKey(table *Table) error {
	attributes, err := p.attributes(table.Line)
	if err != nil {
		return err
	}
	for _, attribute := range attributes {
		if key, found := strings.CutPrefix(attribute.text, "("); found {
			for name := range strings.SplitSeq(strings.TrimSuffix(key, ")"), ",") {
				for i := range table.Columns {
					if strings.EqualFold(table.Columns[i].Name, name) {
						table.Columns[i].Nullable = false
					}
				}
			}
		}
	}
	return nil
}

func (p *parser) insert() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	if err := p.accept("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"); err != nil {
		return err
	}
	database, table, err := p.tableName(line)
	if err != nil {
		return err
	}
	entry, err := p.known(database, table)
	if err != nil {
		return err
	}
	entry.rows = true
	var columns []string
	if p.token.symbol("(") {
		if columns, err = p.columnList(line); err != nil {
			return err
		}
	}
	switch {
	case p.token.kind == tokenEnd:
		return p.truncated(line)
	case !p.token.is("VALUES") && !p.token.is("VALUE"):
		return p.errorf(p.token.line, "expected VALUES, found %s", p.token)
	}
	for {
		if err := p.advance(); err != nil {
			return err
		}
		row := Row{Database: database, Table: table, Columns: columns, Zone: p.zone, Line: p.token.line}
		if row.Values, err = p.values(line); err != nil {
			return err
		}
		if err := p.handler.Row(row); err != nil {
			return err
		}
		if !p.token.symbol(",") {
			break
		}
	}
	if p.token.kind != tokenDelimiter && p.token.kind != tokenEnd && !p.token.is("ON") && !p.token.is("AS") {
		return p.errorf(p.token.line, "expected a comma or a semicolon after the row, found %s", p.token)
	}
	return p.skipStatement(line)
}

func (p *parser) columnList(statement int) ([]string, error) {
	columns := []string{}
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		line := p.token.line
		name, err := p.name(statement)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(columns, func(other string) bool { return strings.EqualFold(other, name) }) {
			return nil, p.errorf(line, "column %.40s is named twice", name)
		}
		if columns = append(columns, name); len(columns) > maxColumns {
			return nil, p.errorf(line, "more than %d columns are named", maxColumns)
		}
		if !p.token.symbol(",") {
			return columns, p.expect(")", statement)
		}
	}
}

func (p *parser) values(statement int) ([]Literal, error) {
	if err := p.expect("(", statement); err != nil {
		return nil, err
	}
	var values []Literal
	for {
		value, err := p.literal(statement)
		if err != nil {
			return nil, err
		}
		if values = append(values, value); len(values) > maxColumns {
			return nil, p.errorf(value.Line, "a row has more than %d values", maxColumns)
		}
		if !p.token.symbol(",") {
			return values, p.expect(")", statement)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) literal(statement int) (Literal, error) {
	first := p.token
	if first.kind == tokenEnd {
		return Literal{}, p.truncated(statement)
	}
	if err := p.advance(); err != nil {
		return Literal{}, err
	}
	switch {
	case first.kind == tokenString:
		return Literal{String, first.text, p.charset, first.line}, nil
	case first.kind == tokenBytes:
		return Literal{Kind: Bytes, Text: first.text, Line: first.line}, nil
	case first.kind == tokenNumber:
		return Literal{Kind: Number, Text: first.text, Line: first.line}, nil
	case (first.symbol("-") || first.symbol("+")) && p.token.kind == tokenNumber:
		text := strings.TrimPrefix(first.text, "+") + p.token.text
		return Literal{Kind: Number, Text: text, Line: first.line}, p.advance()
	case first.is("NULL"):
		return Literal{Kind: Null, Line: first.line}, nil
	case first.is("TRUE"):
		return Literal{Kind: Number, Text: "1", Line: first.line}, nil
	case first.is("FALSE"):
		return Literal{Kind: Number, Text: "0", Line: first.line}, nil
	case first.kind == tokenWord && strings.HasPrefix(first.text, "_") && (p.token.kind == tokenString || p.token.kind == tokenBytes):
		return p.introduced(first)
	}
	return Literal{}, p.errorf(first.line, "expected a value, found %s: only literals are read", first)
}

// introduced reads a literal behind its character set: _utf8mb4'...', _binary 0x...
func (p *parser) introduced(introducer token) (Literal, error) {
	literal := Literal{Kind: String, Text: p.token.text, Line: introducer.line}
	charset, known := charsets[strings.ToLower(introducer.text[1:])]
	switch {
	case !known:
		return Literal{}, p.errorf(introducer.line, "character set %s is not read", introducer)
	case introducer.is("_binary"):
		literal.Kind = Bytes
	default:
		literal.Charset = charset
	}
	return literal, p.advance()
}
