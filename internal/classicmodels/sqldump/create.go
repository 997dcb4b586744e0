package sqldump

import (
	"slices"
	"strings"
)

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
	for held := 0; ; {
		columns := len(table.Columns)
		if err := p.definition(&table); err != nil {
			return err
		}
		for _, column := range table.Columns[columns:] {
			held += len(column.Name) + len(column.Type)
		}
		if len(table.Columns) > maxColumns || held > maxHeld {
			return p.errorf(line, "table %.40s has more than %d columns or %d bytes of them", name, maxColumns, maxHeld)
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
		case p.token.is(routines...) && p.delimiter == ";":
			return p.errorf(
				line, "CREATE %s without a DELIMITER of its own is not read: where its body ends cannot be told",
				strings.ToUpper(p.token.text),
			)
		case p.token.is(routines...):
			return p.skipRoutine(line)
		case p.token.kind == tokenWord && !p.token.is(viewParts...):
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
	p.skipped.line = line
	for p.token.kind != tokenDelimiter {
		switch {
		case p.token.kind == tokenEnd:
			return p.truncated(line)
		case p.token.is("SELECT"):
			return p.errorf(line, "CREATE TABLE with SELECT is not read: expected columns, and INSERT for the rows")
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
		if size += 1 + len(text); size > maxHeld {
			return nil, p.errorf(
				statement, "the statement that starts here has a definition of more than %d bytes", maxHeld,
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
