// Package sqldump reads what mysqldump and its like write: the tables that a file creates and the rows that it inserts, one by
// one. It understands MySQL's lexical rules and the statements CREATE TABLE and INSERT (REPLACE counts as INSERT), passes over
// what does not change rows, and refuses what would. It must not know what tables are expected.
package sqldump

import (
	"bufio"
	"errors"
	"fmt"
	"io"
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
	Name    string
	Columns []Column
	Line    int
}

// Column of a table. Type is in lower case without an integer's display width: varchar(50), int, decimal(10,2), int unsigned.
type Column struct {
	Name, Type string
	Nullable   bool
}

// Kind of a literal.
type Kind int

// The literals of an INSERT.
const (
	Null Kind = iota
	Number
	String // text or bytes as in the file: the character set is the reader's affair
	Bytes  // from hexadecimal, bits or _binary
)

// Literal value.
type Literal struct {
	Kind Kind
	Text string
	Line int
}

// Row of an INSERT.
type Row struct {
	Table string
	// Columns that the statement names; nil when it leaves them out and means all.
	Columns []string
	Values  []Literal
	Line    int
}

// Handler receives what is in a dump. An error of a function ends the reading and is returned.
type Handler struct {
	Table func(Table) error
	Row   func(Row) error
}

// Read reads a dump in memory bounded by the longest row. Errors in it are *Error with the file's name, the line and the
// reason; those of the source and the handler are returned as they are.
func Read(file string, source io.Reader, handler Handler) error {
	checked := &sourceReader{source: source}
	p := &parser{lexer: lexer{file: file, reader: bufio.NewReaderSize(checked, 64<<10), line: 1}, handler: handler}
	err := p.run()
	if checked.err != nil {
		return fmt.Errorf("%s:%d: cannot be read: %w", file, p.line, checked.err)
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

type parser struct {
	lexer
	handler Handler
	token   token // the one looked at
}

func (p *parser) advance() (err error) {
	p.token, err = p.next()
	return err
}

func (p *parser) run() error {
	if bom, _ := p.reader.Peek(3); string(bom) == "\xef\xbb\xbf" {
		_, _ = p.reader.Discard(3)
	}
	if err := p.advance(); err != nil {
		return err
	}
	for p.token.kind != tokenEnd {
		if err := p.statement(); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) statement() error {
	first := p.token
	switch {
	case first.symbol(";"):
		return p.advance()
	case first.is("DELIMITER"):
		return p.foreignDelimiter()
	case first.is("CREATE"):
		return p.create()
	case first.is("INSERT"), first.is("REPLACE"):
		return p.insert()
	}
	for _, keyword := range []string{"UPDATE", "DELETE", "LOAD", "TRUNCATE", "CALL"} {
		if first.is(keyword) {
			return p.errorf(first.line, "%s is not read: a dump creates tables and inserts rows, nothing else may change them", keyword)
		}
	}
	if first.kind != tokenWord {
		return p.errorf(first.line, "a statement cannot start with %s", first)
	}
	return p.skipStatement(first.line)
}

// skipStatement goes behind the semicolon.
func (p *parser) skipStatement(line int) error {
	for !p.token.symbol(";") {
		if p.token.kind == tokenEnd {
			return p.truncated(line)
		}
		if err := p.advance(); err != nil {
			return err
		}
	}
	return p.advance()
}

func (p *parser) truncated(line int) error {
	return p.errorf(line, "the statement that starts here has no end: the file is truncated")
}

// foreignDelimiter passes over the bodies of routines and triggers, to the line that makes the semicolon the delimiter again.
func (p *parser) foreignDelimiter() error {
	start := p.token.line
	for {
		text, err := p.restOfLine()
		if err != nil {
			return p.errorf(start, "the DELIMITER that is set here is never set back to ;")
		}
		fields := strings.Fields(text)
		if len(fields) == 1 && fields[0] == ";" || len(fields) == 2 && strings.EqualFold(fields[0], "DELIMITER") && fields[1] == ";" {
			return p.advance()
		}
	}
}

func (p *parser) restOfLine() (string, error) {
	var text []byte
	for {
		c, err := p.read()
		if err != nil || c == '\n' {
			if len(text) > 0 {
				err = nil
			}
			return string(text), err
		}
		if len(text) < 100 {
			text = append(text, c)
		}
	}
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

// tableName drops the schema's name.
func (p *parser) tableName(statement int) (string, error) {
	name, err := p.name(statement)
	for err == nil && p.token.symbol(".") {
		if err = p.advance(); err == nil {
			name, err = p.name(statement)
		}
	}
	return name, err
}

func (p *parser) create() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	if !p.token.is("TABLE") {
		return p.skipStatement(line)
	}
	if err := p.accept("TABLE", "IF", "NOT", "EXISTS"); err != nil {
		return err
	}
	name, err := p.tableName(line)
	if err != nil {
		return err
	}
	table := Table{Name: name, Line: line}
	if err := p.expect("(", line); err != nil {
		return err
	}
	for {
		if err := p.definition(&table); err != nil {
			return err
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
	if err := p.skipStatement(line); err != nil {
		return err
	}
	return p.handler.Table(table)
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

// attributes reads to the comma or bracket that ends a definition. What is in brackets is one attribute.
func (p *parser) attributes(statement int) ([]string, error) {
	var all []string
	depth := 0
	for {
		switch {
		case p.token.kind == tokenEnd, p.token.symbol(";"):
			return nil, p.truncated(statement)
		case depth == 0 && (p.token.symbol(",") || p.token.symbol(")")):
			return all, nil
		}
		text := p.token.text
		switch {
		case p.token.symbol("("):
			if depth == 0 {
				all = append(all, "")
			}
			depth++
		case p.token.symbol(")"):
			depth--
		}
		switch {
		case depth > 0 || p.token.symbol(")"):
			all[len(all)-1] += text
		case p.token.kind == tokenWord:
			all = append(all, strings.ToLower(text))
		default:
			all = append(all, text)
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
}

func column(name string, attributes []string) Column {
	c := Column{Name: name, Type: attributes[0], Nullable: true}
	rest := attributes[1:]
	if len(rest) > 0 && strings.HasPrefix(rest[0], "(") {
		if !strings.HasSuffix(c.Type, "int") && c.Type != "integer" { // an integer's width is for display only
			c.Type += rest[0]
		}
		rest = rest[1:]
	}
	for i, attribute := range rest {
		switch {
		case attribute == "unsigned":
			c.Type += " unsigned"
		case attribute == "null" && i > 0 && rest[i-1] == "not", attribute == "primary":
			c.Nullable = false
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
		if key, found := strings.CutPrefix(attribute, "("); found {
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
	table, err := p.tableName(line)
	if err != nil {
		return err
	}
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
		row := Row{Table: table, Columns: columns, Line: p.token.line}
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
	if !p.token.symbol(";") && p.token.kind != tokenEnd && !p.token.is("ON") && !p.token.is("AS") {
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
		name, err := p.name(statement)
		if err != nil {
			return nil, err
		}
		columns = append(columns, name)
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
		values = append(values, value)
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
		return Literal{String, first.text, first.line}, nil
	case first.kind == tokenBytes:
		return Literal{Bytes, first.text, first.line}, nil
	case first.kind == tokenNumber:
		return Literal{Number, first.text, first.line}, nil
	case (first.symbol("-") || first.symbol("+")) && p.token.kind == tokenNumber:
		text := strings.TrimPrefix(first.text, "+") + p.token.text
		return Literal{Number, text, first.line}, p.advance()
	case first.is("NULL"):
		return Literal{Null, "", first.line}, nil
	case first.is("TRUE"):
		return Literal{Number, "1", first.line}, nil
	case first.is("FALSE"):
		return Literal{Number, "0", first.line}, nil
	case first.kind == tokenWord && strings.HasPrefix(first.text, "_") && (p.token.kind == tokenString || p.token.kind == tokenBytes):
		literal := Literal{String, p.token.text, first.line}
		if first.is("_binary") || p.token.kind == tokenBytes {
			literal.Kind = Bytes
		}
		return literal, p.advance()
	}
	return Literal{}, p.errorf(first.line, "expected a value, found %s: only literals are read", first)
}
