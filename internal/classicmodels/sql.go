package classicmodels

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Database is the schema that the SQL files name.
const Database = "classicmodels"

// statementBytes is where a multi-row INSERT ends, far below any server's max_allowed_packet.
const statementBytes = 256 << 10

const sqlHead = `-- Sample data in the shape of classicmodels: %s (%s).
-- For MySQL 8.4 and MariaDB 11.4. Load it with: mysql --default-character-set=utf8mb4 < %s
SET NAMES utf8mb4;
SET time_zone = '+00:00';
SET FOREIGN_KEY_CHECKS = 0;
`

// WriteSQL writes classicmodels.sql: a dump that creates the schema and its nine tables, in place
// of earlier ones, and fills them. Running it again gives the same database.
func WriteSQL(ctx context.Context, source Source, create Create) ([]File, error) {
	return writeSQL(source, create, "classicmodels.sql", func(out *sqlOutput) error {
		out.text(
			"CREATE DATABASE IF NOT EXISTS " + quoteName(
				Database,
			) + " CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;\n",
		)
		for i := len(Schema) - 1; i >= 0; i-- {
			out.text("DROP TABLE IF EXISTS " + qualified(Schema[i]) + ";\n")
		}
		for _, table := range Schema {
			out.text(createTable(table))
		}
		out.text("START TRANSACTION;\n")
		return source.Scan(ctx, out.insert)
	})
}

// WriteAdvanceSQL writes what the shop's last days brought and took away as advance-<first
// day>-<last day>.sql, for a database that holds the shop before them. Running it again changes
// nothing.
func WriteAdvanceSQL(ctx context.Context, shop *Shop, days int, create Create) ([]File, error) {
	last := shop.options.AdvanceDays
	name := fmt.Sprintf("advance-%04d-%04d.sql", last-days+1, last)
	return writeSQL(shop, create, name, func(out *sqlOutput) error {
		out.replace = true
		out.text("START TRANSACTION;\n")
		var withdrawn []byte
		err := shop.ScanAdvance(ctx, days, func(change Change) error {
			if change.After != nil {
				return out.insert(change.Table, change.After)
			}
			withdrawn = append(
				withdrawn,
				"DELETE FROM "+qualified(change.Table)+" WHERE "+quoteName(change.Table.PrimaryKey[0])+" = "...)
			withdrawn = append(change.Before[0].appendSQL(withdrawn), ";\n"...)
			return nil
		})
		out.end()
		out.write(withdrawn)
		return err
	})
}

func writeSQL(source Source, create Create, name string, body func(*sqlOutput) error) ([]File, error) {
	out, err := open(create, name, "")
	if err != nil {
		return nil, err
	}
	kind, detail := source.Origin()
	sql := &sqlOutput{output: out, pending: make([]bytes.Buffer, len(Schema))}
	sql.text(fmt.Sprintf(sqlHead, kind, detail, name))
	err = body(sql)
	sql.end()
	sql.text("COMMIT;\nSET FOREIGN_KEY_CHECKS = 1;\n")
	file, closeErr := out.close()
	if err != nil {
		return nil, err
	}
	return []File{file}, closeErr
}

// sqlOutput gathers the rows of each table until they fill a statement.
type sqlOutput struct {
	*output
	replace bool           // rows may be there already, with other values
	pending []bytes.Buffer // one for each table of Schema
}

func (s *sqlOutput) text(text string) { s.write([]byte(text)) }

func (s *sqlOutput) insert(table *Table, row []Value) error {
	s.Rows++
	index := 0
	for Schema[index] != table {
		index++
	}
	buffer := &s.pending[index]
	if buffer.Len() == 0 {
		buffer.WriteString(
			"INSERT INTO " + qualified(table) + " (`" + strings.Join(table.ColumnNames(), "`, `") + "`) VALUES\n(",
		)
	} else {
		buffer.WriteString(",\n(")
	}
	for i, value := range row {
		if i > 0 {
			buffer.WriteByte(',')
		}
		buffer.Write(value.appendSQL(buffer.AvailableBuffer()))
	}
	buffer.WriteByte(')')
	if buffer.Len() >= statementBytes {
		s.flush(index)
	}
	return s.err
}

func (s *sqlOutput) flush(index int) {
	buffer, table := &s.pending[index], Schema[index]
	if buffer.Len() == 0 {
		return
	}
	s.write(buffer.Bytes())
	buffer.Reset()
	if s.replace {
		s.text("\nON DUPLICATE KEY UPDATE ")
		for i, column := range table.Columns[len(table.PrimaryKey):] {
			if i > 0 {
				s.text(", ")
			}
			name := quoteName(column.Name)
			s.text(name + " = VALUES(" + name + ")")
		}
	}
	s.text(";\n")
}

func (s *sqlOutput) end() {
	for i := range s.pending {
		s.flush(i)
	}
}

func quoteName(name string) string     { return "`" + name + "`" }
func qualified(table *Table) string    { return quoteName(Database) + "." + quoteName(table.Name) }
func nameList(columns []string) string { return "(`" + strings.Join(columns, "`, `") + "`)" }

func createTable(table *Table) string {
	var sql strings.Builder
	sql.WriteString("CREATE TABLE " + qualified(table) + " (\n")
	for _, column := range table.Columns {
		sql.WriteString("  " + quoteName(column.Name) + " " + column.Type)
		if !column.Nullable {
			sql.WriteString(" NOT NULL")
		}
		sql.WriteString(",\n")
	}
	sql.WriteString("  PRIMARY KEY " + nameList(table.PrimaryKey))
	for _, key := range table.ForeignKeys {
		fmt.Fprintf(
			&sql, ",\n  FOREIGN KEY (`%s`) REFERENCES `%s`.`%s` (`%s`)", key.Column, Database, key.Table,
			key.References,
		)
	}
	sql.WriteString("\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;\n")
	return sql.String()
}

func (v Value) appendSQL(to []byte) []byte {
	switch {
	case !v.set:
		return append(to, "NULL"...)
	case v.kind == Bytes:
		if v.text == "" {
			return append(to, "''"...)
		}
		return hex.AppendEncode(append(to, "0x"...), []byte(v.text))
	case v.kind == Text:
		to = append(to, '\'')
		for i := range len(v.text) {
			switch c := v.text[i]; c {
			case '\'', '\\':
				to = append(to, '\\', c)
			case '\n':
				to = append(to, '\\', 'n')
			case '\r':
				to = append(to, '\\', 'r')
			case 0:
				to = append(to, '\\', '0')
			case 26:
				to = append(to, '\\', 'Z')
			default:
				to = append(to, c)
			}
		}
		return append(to, '\'')
	case v.kind == Date || v.kind == Timestamp:
		return append(v.append(append(to, '\''), time.DateTime), '\'')
	default:
		return v.append(to, time.DateTime)
	}
}
