package sqldump

import (
	"slices"
	"strings"
)

// drop reads DROP TABLE and DROP DATABASE, which are harmless before what they drop is filled, and
// skips the others.
func (p *parser) drop() error {
	line := p.token.line
	if err := p.advance(); err != nil {
		return err
	}
	wholeDatabase := p.token.is("DATABASE", "SCHEMA")
	if !wholeDatabase && !p.token.is("TABLE", "TEMPORARY") {
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
	if err := p.accept("RESTRICT", "CASCADE"); err != nil {
		return err
	}
	return p.endStatement(line)
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
	if first.is("TRUNCATE") {
		return p.endStatement(first.line)
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
		size := 0
		for depth := 0; p.token.kind != tokenDelimiter && (depth > 0 || !p.token.symbol(",")); {
			switch {
			case p.token.kind == tokenEnd:
				return p.truncated(line)
			case p.token.symbol("("):
				depth++
			case p.token.symbol(")"):
				depth--
			}
			size += len(p.token.text)
			if part = append(part, p.token); len(part) > maxColumns || size > maxHeld {
				return p.errorf(
					line, "ALTER TABLE %.40s: a part has more than %d words or %d bytes", table, maxColumns, maxHeld,
				)
			}
			p.skipped.line = 0 // a part begins with a word that could begin a statement
			if len(part) > 1 {
				p.skipped.line = line
			}
			if err := p.advance(); err != nil {
				return err
			}
		}
		if !keepsColumns(part) {
			return p.errorf(
				line,
				"ALTER TABLE %.40s is not read: it adds keys and AUTO_INCREMENT only, "+
					"columns are those of CREATE TABLE",
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
		return i < len(part) && part[i].is(words...)
	}
	if word(0, "MODIFY") {
		moved := slices.ContainsFunc(part, func(t token) bool { return t.is("FIRST", "AFTER") })
		return !moved && slices.ContainsFunc(part, func(t token) bool { return t.is("AUTO_INCREMENT") })
	}
	return word(0, tableOptions...) || word(0, "ADD") && word(1, keyParts...)
}
