package sqldump

import (
	"slices"
	"strings"
)

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
	if p.uncommitted && p.transaction == 0 {
		p.transaction = line
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
	case !p.token.is("VALUES", "VALUE"):
		return p.errorf(p.token.line, "expected VALUES, found %s", p.token)
	}
	p.unwanted = p.handler.Wanted != nil && !p.handler.Wanted(database, table)
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
	p.unwanted = false
	if p.token.kind != tokenDelimiter && p.token.kind != tokenEnd && !p.token.is("ON", "AS") {
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

// MaxRow is how many bytes the values of a row may have: the 16 MiB of a mediumblob, which is
// classicmodels' largest type, and one for the others. In a file they may be twice as many.
const MaxRow = 17 << 20

func (p *parser) values(statement int) ([]Literal, error) {
	line := p.token.line
	if err := p.expect("(", statement); err != nil {
		return nil, err
	}
	var values []Literal
	for count, size := 1, 0; ; count++ {
		value, err := p.literal(statement)
		if err != nil {
			return nil, err
		}
		if count > maxColumns {
			return nil, p.errorf(value.Line, "a row has more than %d values", maxColumns)
		}
		if size += len(value.Text); size > MaxRow {
			return nil, p.errorf(line, "the row that starts here has values of more than %d bytes", MaxRow)
		}
		if !p.unwanted {
			values = append(values, value)
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
	case first.kind == tokenWord && strings.HasPrefix(first.text, "_") &&
		(p.token.kind == tokenString || p.token.kind == tokenBytes):
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
