package sqldump_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	u16 "unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels/sqldump"
)

func read(source io.Reader) (tables []sqldump.Table, rows []sqldump.Row, err error) {
	err = sqldump.Read("dump.sql", source, sqldump.Handler{
		Table: func(table sqldump.Table) error { tables = append(tables, table); return nil },
		Row:   func(row sqldump.Row) error { rows = append(rows, row); return nil },
	})
	return tables, rows, err
}

func TestLiterals(t *testing.T) {
	for text, expected := range map[string]sqldump.Literal{
		`'it''s'`:                {Kind: sqldump.String, Text: "it's"},
		`"say ""hi"""`:           {Kind: sqldump.String, Text: `say "hi"`},
		`'a\'b\\c\nd\0\Z\%'`:     {Kind: sqldump.String, Text: "a'b\\c\nd\x00\x1a\\%"},
		`'; -- no comment'`:      {Kind: sqldump.String, Text: "; -- no comment"},
		`'caf` + "\xe9'":         {Kind: sqldump.String, Text: "caf\xe9"},
		`''`:                     {Kind: sqldump.String},
		`NULL`:                   {Kind: sqldump.Null},
		`null`:                   {Kind: sqldump.Null},
		`-12.50`:                 {Kind: sqldump.Number, Text: "-12.50"},
		`+.5`:                    {Kind: sqldump.Number, Text: ".5"},
		`1E+3`:                   {Kind: sqldump.Number, Text: "1E+3"},
		`1e+3`:                   {Kind: sqldump.Number, Text: "1e+3"},
		`1E-3`:                   {Kind: sqldump.Number, Text: "1E-3"},
		`0xafAF09`:               {Kind: sqldump.Bytes, Text: "\xaf\xaf\x09"},
		`1e-3`:                   {Kind: sqldump.Number, Text: "1e-3"},
		`TRUE`:                   {Kind: sqldump.Number, Text: "1"},
		`0x4142`:                 {Kind: sqldump.Bytes, Text: "AB"},
		`0xA`:                    {Kind: sqldump.Bytes, Text: "\n"},
		`x'4142'`:                {Kind: sqldump.Bytes, Text: "AB"},
		`b'101000001'`:           {Kind: sqldump.Bytes, Text: "\x01A"},
		`_binary 'A\0'`:          {Kind: sqldump.Bytes, Text: "A\x00"},
		`_utf8mb4'ü'`:            {Kind: sqldump.String, Text: "ü", Charset: sqldump.UTF8},
		`_latin1 'caf` + "\xe9'": {Kind: sqldump.String, Text: "caf\xe9", Charset: sqldump.Latin1},
		`_binary 0x00`:           {Kind: sqldump.Bytes, Text: "\x00"},
		"'raw \x00 byte\r\n'":    {Kind: sqldump.String, Text: "raw \x00 byte\r\n"},
		`/*!50000 7 */`:          {Kind: sqldump.Number, Text: "7"},
		`/*M!100100 7*/`:         {Kind: sqldump.Number, Text: "7"},
		`/*M!999999 8 */ 7`:      {Kind: sqldump.Number, Text: "7"},
		`/* c */ 7 # eight`:      {Kind: sqldump.Number, Text: "7"},
		"-- nine\n 9 -- ten":     {Kind: sqldump.Number, Text: "9"},
	} {
		t.Run(text, func(t *testing.T) {
			// One byte at a time: nothing depends on how the file is cut.
			_, rows, err := read(iotest.OneByteReader(strings.NewReader("INSERT INTO t VALUES (" + text + "\n);")))
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.Len(t, rows[0].Values, 1)
			expected.Line = rows[0].Values[0].Line
			assert.Equal(t, expected, rows[0].Values[0])
		})
	}
}

func TestStatements(t *testing.T) {
	tables, rows, err := read(
		strings.NewReader("\xef\xbb\xbf/*!40101 SET NAMES utf8 */;\nSET @a = ';';\nLOCK TABLES `t` WRITE;;\n" +
			"CREATE TABLE IF NOT EXISTS `s`.`t` (\n `a b` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'x, ) " +
			"y',\n price decimal( 10 , 2 ) DEFAULT '0.00',\n" +
			" kind enum('a','b;') NULL, c VARCHAR(5) PRIMARY KEY, PRIMARY KEY (`a b`), UNIQUE KEY k (c(3), kind), " +
			"CHECK (price > (1))\n) ENGINE=InnoDB COMMENT='t;t';\n" +
			"DELIMITER ;;\nCREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN INSERT INTO t VALUES (1); END ;;\n" +
			"DELIMITER ;\n" +
			"INSERT IGNORE INTO s.t (c, kind) VALUES ('1','a'),\n('2','b') ON DUPLICATE KEY UPDATE c = VALUES(c);\n" +
			"UNLOCK TABLES;REPLACE t VALUE (1,2);COMMIT;"),
	)
	require.NoError(t, err)
	assert.Equal(t, []sqldump.Table{{Database: "s", Name: "t", Line: 4, Columns: []sqldump.Column{
		{
			Name:    "a b",
			Type:    "int unsigned",
			Default: true,
		}, {Name: "price", Type: "decimal(10,2)", Nullable: true, Default: true},
		{Name: "kind", Type: "enum(a,b;)", Nullable: true}, {Name: "c", Type: "varchar(5)"},
	}}}, tables)
	require.Len(t, rows, 3)
	assert.Equal(
		t,
		sqldump.Row{
			Database: "s",
			Table:    "t",
			Columns:  []string{"c", "kind"},
			Zone:     "SYSTEM",
			Line:     13,
			Values: []sqldump.Literal{
				{
					Kind:    sqldump.String,
					Text:    "2",
					Charset: sqldump.UTF8,
					Line:    13,
				}, {Kind: sqldump.String, Text: "b", Charset: sqldump.UTF8, Line: 13},
			},
		},
		rows[1],
	)
	assert.Nil(t, rows[2].Columns)
}

func TestErrorsNameFileLineAndReason(t *testing.T) {
	const insert = "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1);\n"
	for text, expected := range map[string]string{
		"\n\nINSERT INTO t VALUES (1": "dump.sql:3: the statement that starts here has no end: the file " +
			"is truncated",
		"INSERT INTO t VALUES (1)": "dump.sql:1: the statement that starts here has no end: the file " +
			"is truncated",
		"INSERT INTO t VALUES\n('a": "dump.sql:2: the quoted text that starts here has no end: the " +
			"file is truncated",
		"INSERT INTO t VALUES\n('a\\": "dump.sql:2: the quoted text that starts here has no end: the " +
			"file is truncated",
		"/* a": "dump.sql:1: the comment that starts here has no end: the file " +
			"is truncated",
		"\n/*!40101 SET a = 1;": "dump.sql:2: the comment that starts here has no end: the file " +
			"is truncated",
		"/*!40101 SET a = 1 /*!40101 , b = 1 */;": "dump.sql:1: a comment for a version lies in the one that line 1 " +
			"starts",
		"INSERT INTO t VALUES (1,)":   `dump.sql:1: expected a value, found ")": only literals are read`,
		"INSERT INTO t VALUES (1 2);": `dump.sql:1: expected ")", found "2"`,
		"INSERT INTO t VALUES (1)\n(2);": `dump.sql:2: expected a comma or a semicolon after the row, ` +
			`found "("`,
		"INSERT INTO t VALUES (1)\nINSERT": `dump.sql:2: expected a comma or a semicolon after the row, ` +
			`found "INSERT"`,
		"INSERT INTO t SELECT 1;":      `dump.sql:1: expected VALUES, found "SELECT"`,
		"INSERT INTO t SET a = 1;":     `dump.sql:1: expected VALUES, found "SET"`,
		"INSERT INTO t VALUES ROW(1);": `dump.sql:1: expected "(", found "ROW"`,
		"INSERT INTO t VALUES ();":     `dump.sql:1: expected a value, found ")": only literals are read`,
		"INSERT INTO t VALUES (DEFAULT);": `dump.sql:1: expected a value, ` +
			`found "DEFAULT": only literals are read`,
		"INSERT INTO t VALUES (now());":           `dump.sql:1: expected a value, found "now": only literals are read`,
		"INSERT INTO t VALUES (_koi8r'a');":       `dump.sql:1: character set "_koi8r" is not read`,
		"INSERT INTO t (a,\nA) VALUES (1,2);":     "dump.sql:2: column A is named twice",
		"INSERT INTO a.b.c VALUES (1);":           "dump.sql:1: expected a table's name of one or two parts",
		"INSERT INTO t VALUES ('secret' 'name');": `dump.sql:1: expected ")", found a string`,
		"CREATE TABLE t (a int": "dump.sql:1: the statement that starts here has no end: the file " +
			"is truncated",
		"CREATE TABLE t (a int)\n": "dump.sql:1: the statement that starts here has no end: the file " +
			"is truncated",
		"CREATE TABLE t (a 5);": `dump.sql:1: expected the type of column a, found "5"`,
		"'text';":               "dump.sql:1: a statement cannot start with a string",
		"\x00;":                 `dump.sql:1: a statement cannot start with "\x00"`,
		"INSERT INTO t VALUES (x'4G');": "dump.sql:1: a hexadecimal value with other characters than 0-9 " +
			"and a-f",
		"INSERT INTO t VALUES (b'12');": "dump.sql:1: a bit value with other characters than 0 and 1",
		"-- old Mac\rINSERT INTO t VALUES (1);": "dump.sql:1: a carriage return ends no line: expected line " +
			"feeds, or both",

		// What would change rows or columns.
		insert + "UPDATE t SET a = 2;": "dump.sql:3: UPDATE is not read: " +
			"a dump creates tables and inserts rows, nothing else may change them; expected a dump of MySQL or MariaDB",
		insert + "LOAD DATA INFILE 'x' INTO TABLE t": "dump.sql:3: LOAD is not read: a " +
			"dump creates tables and inserts rows, nothing else may change them; expected a dump of MySQL or MariaDB",
		insert + "ROLLBACK;": "dump.sql:3: ROLLBACK is not " +
			"read: a dump creates tables and inserts rows, nothing else may change them; expected a dump of MySQL " +
			"or MariaDB",
		insert + "TRUNCATE T;": "dump.sql:3: TRUNCATE removes " +
			"rows of table T, which the file has inserted before",
		insert + "DELETE FROM `t` WHERE a > 1;": "dump.sql:3: DELETE removes rows " +
			"of table t, which the file has inserted before",
		insert + "DELETE a FROM t a;": "dump.sql:3: DELETE is not read " +
			"but as DELETE FROM with one table",
		"DELETE FROM u, t;": "dump.sql:1: DELETE is not read " +
			"but with one table",
		insert + "DROP TABLE IF EXISTS u, t;": "dump.sql:3: DROP removes rows of " +
			"table t, which the file has inserted before",
		"USE s;" + insert + "DROP DATABASE s;": "dump.sql:3: DROP removes rows of " +
			"table t, which the file has inserted before",
		insert + "CREATE OR REPLACE TABLE t (b int);": "dump.sql:3: table t is created " +
			"again (first in line 1)",
		insert + "ALTER TABLE t ADD COLUMN b int;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		insert + "ALTER TABLE t ADD KEY (a), DROP a;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		insert + "ALTER TABLE t MODIFY a int AUTO_INCREMENT AFTER b;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		insert + "ALTER TABLE t ADD;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		insert + "ALTER TABLE t;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		insert + "ALTER TABLE t MODIFY a text;": "dump.sql:3: ALTER TABLE t is not " +
			"read: it adds keys and AUTO_INCREMENT only, columns are those of CREATE TABLE",
		"CREATE TABLE t (a int) AS SELECT 1;": "dump.sql:1: CREATE TABLE with " +
			"SELECT is not read: expected columns, and INSERT for the rows",
		"CREATE TABLE t LIKE u;": `dump.sql:1: expected "(", ` +
			`found "LIKE"`,
		"CREATE TEMPORARY TABLE t (a int);": "dump.sql:1: CREATE TEMPORARY " +
			"TABLE is not read: expected tables that stay",
		"CREATE TABLE t (a int, PERIOD FOR SYSTEM_TIME (b, c));": "dump.sql:1: table t keeps old " +
			"versions of its rows, which is not read",
		"CREATE DEFINER=`a`@`b` TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN": "dump.sql:1: CREATE TRIGGER " +
			"without a DELIMITER of its own is not read: where its body ends cannot be told",

		// A semicolon that is missing must not take the next statement with it.
		"SET NAMES utf8\nINSERT INTO t VALUES (1);": "dump.sql:1: the statement that starts here has no " +
			"end before the next one in line 2: a semicolon is missing",
		"LOCK TABLES t WRITE\nINSERT IGNORE t VALUES (1);": "dump.sql:1: the statement that starts here has no " +
			"end before the next one in line 2: a semicolon is missing",
		"DROP TABLE IF EXISTS t\nCREATE TABLE t (a int);": "dump.sql:1: the statement that starts here has no " +
			"end before the next one in line 2: a semicolon is missing",
		"CREATE TABLE t (a int)\nREPLACE INTO t VALUES (1);": "dump.sql:1: the statement that starts here has no " +
			"end before the next one in line 2: a semicolon is missing",
		"ALTER TABLE t DISABLE KEYS\nINSERT INTO t VALUES (1);": "dump.sql:1: the statement that starts here has no " +
			"end before the next one in line 2: a semicolon is missing",

		// Files that end too early, although their last statement is whole.
		"-- MySQL dump 10.13\n" +
			insert: "dump.sql:1: the dump that starts here lacks the last line of its tool (-- Dump " +
			"completed): the file is truncated",
		"-- MariaDB dump 10.19\n-- MySQL dump 10.13\n;": "dump.sql:1: the dump that starts here lacks the last line " +
			"of its tool (-- Dump completed) before the one of line 2",
		"SET a=1;\nSTART TRANSACTION;\n" +
			insert: "dump.sql:2: the transaction that starts here has no COMMIT: the file is truncated",
		"BEGIN;\n" + insert: "dump.sql:1: the transaction that starts here has no " +
			"COMMIT: the file is truncated",
		insert + "LOCK TABLES t WRITE;": "dump.sql:3: the tables that are locked here are never " +
			"unlocked: the file is truncated",

		// Lines of tools, and other databases' dumps.
		"mysqldump: [Warning] Using a password can be insecure.\n" +
			insert: `dump.sql:1: "mysqldump" starts no statement of a dump: ` +
			"expected CREATE TABLE, INSERT and what goes with them (is it a message of the tool that wrote the file?)",
		"PRAGMA foreign_keys=OFF;": "dump.sql:1: PRAGMA is not read: the file is a dump of " +
			"SQLite; expected a dump of MySQL or MariaDB",
		"BEGIN TRANSACTION;": "dump.sql:1: BEGIN TRANSACTION: the file is a dump of " +
			"SQLite or a script of SQL Server, expected a dump of MySQL or MariaDB",
		"BEGIN NOT ATOMIC SELECT 1;": `dump.sql:1: BEGIN "NOT" is not read: expected the start of a transaction`,
		"COPY t (a) FROM stdin;\n1\n": "dump.sql:1: COPY is not read: the file is a dump of " +
			"PostgreSQL; expected a dump of MySQL or MariaDB",
		"SET statement_timeout = 0;": "dump.sql:1: SET statement_timeout: the file is a dump of " +
			"PostgreSQL, expected one of MySQL or MariaDB",
		"SET search_path TO public;": "dump.sql:1: SET search_path: the file is a dump of " +
			"PostgreSQL, expected one of MySQL or MariaDB",
		"--\n-- PostgreSQL database dump\n--\n": "dump.sql:2: the file is a dump of PostgreSQL, expected one " +
			"of MySQL or MariaDB",
		"-- Dumped by pg_dump version 17\n": "dump.sql:1: the file is a dump of PostgreSQL, expected one " +
			"of MySQL or MariaDB",
		"--\n-- File generated with SQLiteStudio v3\n": "dump.sql:2: the file is a dump of SQLite, expected one of " +
			"MySQL or MariaDB",
		"SET ANSI_NULLS ON\nGO\n":     `dump.sql:1: SET ansi_nulls: expected =, found "ON"`,
		"\\restrict abc\n":            `dump.sql:1: a statement cannot start with "\\"`,
		"INSERT INTO [t] VALUES (1);": `dump.sql:1: expected a name, found "["`,

		// Settings.
		"SET NAMES gbk;": `dump.sql:1: character set "gbk" is not read: expected ascii, ` +
			`binary, latin1, utf8, utf8mb3, utf8mb4 (write the dump with --default-character-set=utf8mb4)`,
		"SET NAMES concat('utf', 8);": "dump.sql:1: SET NAMES: expected the name of a character set",
		"SET CHARACTER utf8;":         `dump.sql:1: expected SET after CHARACTER, found "utf8"`,
		"SET sql_mode=concat(@@sql_mode)": "dump.sql:1: the statement that starts here has no end: " +
			"the file is truncated",
		"SET sql_mode=concat(@@sql_mode);": "dump.sql:1: SET sql_mode: expected a text, or a " +
			"variable that the file has set before",
		"SET sql_mode=@old;": "dump.sql:1: SET sql_mode: expected a text, or a " +
			"variable that the file has set before",
		"SET sql_mode=512;": "dump.sql:1: sql_mode 512 is a number: expected the " +
			"modes' names",
		"SET STATEMENT a=1 FOR INSERT INTO t VALUES (1);": "dump.sql:1: SET STATEMENT is not read: expected SET " +
			"name = value",
		"USE a b;":        `dump.sql:1: expected the end of the statement of line 1, found "b"`,
		"USE a":           "dump.sql:1: the statement that starts here has no end: the file is truncated",
		"DELIMITER go\nx": "dump.sql:1: DELIMITER: expected one or two signs, such as ;;",
		"DELIMITER\nx":    "dump.sql:1: DELIMITER: expected one or two signs, such as ;;",
		"DELIMITER $$\nx$$": `dump.sql:2: "x" starts no statement of a dump: expected CREATE TABLE, ` +
			`INSERT and what goes with them (is it a message of the tool that wrote the file?)`,
	} {
		t.Run(text, func(t *testing.T) {
			_, _, err := read(strings.NewReader(text))
			require.EqualError(t, err, expected)
		})
	}
}

func texts(rows []sqldump.Row) (all []string) {
	for _, row := range rows {
		text := row.Database + "." + row.Table
		for _, value := range row.Values {
			text += "|" + value.Text
		}
		all = append(all, text)
	}
	return all
}

func TestContextDecidesWhatAStatementMeans(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		expected []string
	}{
		"database of USE": {"INSERT INTO t VALUES (1); USE `a b`; INSERT INTO t VALUES (2); INSERT INTO s.t VALUES " +
			"(3); CREATE DATABASE c; INSERT INTO t VALUES (4);",
			[]string{".t|1", "a b.t|2", "s.t|3", "a b.t|4"}},
		"backslashes of NO_BACKSLASH_ESCAPES": {`INSERT INTO t VALUES ('a\\b'); SET sql_mode='ANSI_QUOTES,` +
			`no_backslash_escapes'; INSERT INTO "t" VALUES ('c\\d\'); SET @@session.sql_mode = ''; ` +
			`INSERT INTO t VALUES ("e\\f");`,
			[]string{`.t|a\b`, `.t|c\\d\`, `.t|e\f`}},
		"modes come back": {`/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO,` +
			`ANSI' */; INSERT INTO "t" VALUES (1); /*!40101 SET SQL_MODE=@OLD_SQL_MODE */; INSERT INTO t VALUES ("x");`,
			[]string{".t|1", ".t|x"}},
		"modes of HeidiSQL": {`SET @A=@@sql_mode, sql_mode=DEFAULT; SET SQL_MODE=IFNULL(@A, ` +
			`'ANSI'); SET SQL_MODE=IFNULL(@B, 'ANSI'); INSERT INTO "t" VALUES (1);`, []string{".t|1"}},
		"modes of all": {`SET GLOBAL sql_mode='ANSI', PERSIST sql_mode='ANSI', ` +
			`@@global.sql_mode='ANSI'; SET SESSION time_zone='x'; INSERT INTO t VALUES ("x");`, []string{".t|x"}},
		"variables in quotes": {"SET @`a` := 'ANSI'; SET sql_mode := @a; INSERT INTO \"t\" VALUES (1);",
			[]string{".t|1"}},
		"comment for a version": {"/*!50001 INSERT INTO t VALUES (1) */; /*!99999 INSERT INTO t VALUES (2) */;/* " +
			"INSERT INTO t VALUES (3); */ /*! INSERT INTO t /* inner */ VALUES (4) */;",
			[]string{".t|1", ".t|2", ".t|4"}},
		"another delimiter": {"DELIMITER $$\nINSERT INTO t VALUES ('a$$;')$$\nCREATE PROCEDURE p() BEGIN INSERT " +
			"INTO t VALUES (9); END$$\nDELIMITER ;\nINSERT INTO t VALUES (2);", []string{".t|a$$;", ".t|2"}},
		"emptied before": {"TRUNCATE TABLE t; DELETE FROM t WHERE a = ';'; DROP TABLE IF EXISTS s.t; INSERT INTO " +
			"t VALUES (1); TRUNCATE u; DROP TABLE s.t;", []string{".t|1"}},
		"harmless": {"GRANT SELECT, INSERT ON t TO u; FLUSH TABLES; CHANGE MASTER TO x=1; START REPLICA; " +
			"STOP SLAVE; SET PASSWORD = 'x'; ALTER DATABASE d CHARACTER SET utf8; CREATE INDEX i ON t (a); CREATE " +
			"USER x; DROP VIEW v; CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v AS SELECT " +
			"REPLACE('a',\n'b','c'); SET TRANSACTION READ ONLY; INSERT INTO t VALUES (1);", []string{".t|1"}},
		"phpMyAdmin": {"-- phpMyAdmin SQL Dump\nSET SQL_MODE = \"NO_AUTO_VALUE_ON_ZERO\";\nSTART TRANSACTION;\nSET " +
			"time_zone = \"+00:00\";\n/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n" +
			"/*!40101 SET NAMES utf8mb4 */;\nCREATE TABLE `t` (\n  `a` int(11) NOT NULL\n) ENGINE=InnoDB;\nINSERT " +
			"INTO `t` (`a`) VALUES\n(1),\n(2);\n" +
			"ALTER TABLE `t`\n  ADD PRIMARY KEY (`a`),\n  ADD KEY `k` (`a`,`b`);\nALTER TABLE `t`\n  MODIFY `a` " +
			"int(11) NOT NULL AUTO_INCREMENT, AUTO_INCREMENT=3;\n" +
			"ALTER TABLE `t`\n  ADD CONSTRAINT `f` FOREIGN KEY (`a`) REFERENCES `u` (`b`) ON DELETE CASCADE ON " +
			"UPDATE CASCADE;\nCOMMIT;\n" +
			"/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */;\n", []string{".t|1", ".t|2"}},
		"mariadb-dump": {"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19-11.4.5-MariaDB, for " +
			"Linux (x86_64)\n/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n" +
			"LOCK TABLES `t` WRITE;\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\nINSERT INTO `t` VALUES\n(1);\n" +
			"/*!40000 ALTER TABLE `t` ENABLE KEYS */;\nUNLOCK TABLES;\n-- Dump completed on 2026-01-01\n",
			[]string{".t|1"}},
		"all that is blank, in names of all letters": {"INSERT\tINTO\vazAZ_$09\fVALUES\r\n(1 )\t;",
			[]string{".azAZ_$09|1"}},
		"brackets in SET": {"SET @a = f((1), 2), sql_mode='ANSI', @b = (3); INSERT INTO \"t\" VALUES (1);",
			[]string{".t|1"}},
		"windows": {"-- a comment\r\nINSERT INTO t VALUES\r\n(1);\r\n", []string{".t|1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, rows, err := read(strings.NewReader(test.text))
			require.NoError(t, err)
			assert.Equal(t, test.expected, texts(rows))
		})
	}
}

func TestTextsHaveTheCharacterSetThatTheFileAnnounces(t *testing.T) {
	_, rows, err := read(
		strings.NewReader(
			"INSERT INTO t VALUES ('a'); SET NAMES latin1 COLLATE latin1_bin; INSERT INTO t VALUES ('b'); SET @s = " +
				"@@character_set_client; " +
				"SET character_set_client = utf8mb4; INSERT INTO t VALUES ('c'); SET character_set_client = @s; " +
				"INSERT INTO t VALUES ('d', _utf8'e');" +
				"SET NAMES DEFAULT; INSERT INTO t VALUES ('f'); SET CHARACTER SET 'utf8mb3'; INSERT INTO t VALUES " +
				"('g'); SET CHARSET binary; INSERT INTO t VALUES ('h');",
		),
	)
	require.NoError(t, err)
	found := map[string]string{}
	for _, row := range rows {
		for _, value := range row.Values {
			found[value.Text] = value.Charset
		}
	}
	assert.Equal(
		t,
		map[string]string{
			"a": "",
			"b": "latin1",
			"c": "utf8",
			"d": "latin1",
			"e": "utf8",
			"f": "",
			"g": "utf8",
			"h": "",
		},
		found,
	)
}

func TestRowsHaveTheTimeZoneThatTheFileAnnounces(t *testing.T) {
	_, rows, err := read(
		strings.NewReader(
			"INSERT INTO t VALUES (1); SET @OLD=@@TIME_ZONE, TIME_ZONE='+00:00'; INSERT INTO t VALUES (2); SET " +
				"TIME_ZONE=@OLD; INSERT INTO t VALUES (3);",
		),
	)
	require.NoError(t, err)
	assert.Equal(t, []string{"SYSTEM", "+00:00", "SYSTEM"}, []string{rows[0].Zone, rows[1].Zone, rows[2].Zone})
}

func TestColumnsTellWhetherTheTableFillsThem(t *testing.T) {
	tables, _, err := read(
		strings.NewReader(
			"CREATE TABLE t (a int DEFAULT NULL, b int DEFAULT '0', c int AUTO_INCREMENT, d int COMMENT 'default " +
				"primary null unsigned', e int GENERATED ALWAYS AS (a), f int, g int DEFAULT);",
		),
	)
	require.NoError(t, err)
	var filled []bool
	for _, column := range tables[0].Columns {
		filled = append(filled, column.Default)
		assert.True(t, column.Nullable, column.Name)
		assert.Equal(t, "int", column.Type, column.Name)
	}
	assert.Equal(t, []bool{false, true, true, false, true, false, true}, filled)
}

func TestColumnsOfThePrimaryKeyMayNotBeNull(t *testing.T) {
	tables, _, err := read(strings.NewReader("CREATE TABLE t (a int, b int, c int, PRIMARY KEY USING BTREE (C,`a`));"))
	require.NoError(t, err)
	assert.Equal(
		t, []bool{false, true, false},
		[]bool{tables[0].Columns[0].Nullable, tables[0].Columns[1].Nullable, tables[0].Columns[2].Nullable},
	)
}

// Old versions of mysqldump create a table where a view will stand, and drop it.
func TestTablesThatAreDroppedWithoutRowsAreTold(t *testing.T) {
	var dropped []string
	err := sqldump.Read(
		"dump.sql",
		strings.NewReader(
			"USE s; CREATE TABLE V (a int); CREATE TABLE kept (a int); DROP TABLE IF EXISTS v, other; CREATE TABLE "+
				"v (a int);",
		),
		sqldump.Handler{
			Table: func(sqldump.Table) error { return nil },
			Drop:  func(database, table string) { dropped = append(dropped, database+"."+table) },
		},
	)
	require.NoError(t, err)
	assert.Equal(t, []string{"s.v"}, dropped)
}

func zipped(t testing.TB, text string) string {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err := writer.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	return packed.String()
}

// utf16 writes ASCII as a shell's > does; the mark's order is little endian's.
func utf16(text string, bigEndian bool) string {
	wide := []byte{}
	for _, c := range append([]uint16{0xfeff}, u16.Encode([]rune(text))...) {
		if bigEndian {
			wide = append(wide, byte(c>>8), byte(c))
		} else {
			wide = append(wide, byte(c), byte(c>>8))
		}
	}
	return string(wide)
}

func TestContainersAreReadOrNamed(t *testing.T) {
	const plain = "INSERT INTO t VALUES\n('a',1);\n"
	packed := zipped(t, strings.Repeat(plain, 500))
	for name, content := range map[string]string{
		"byte order mark": "\xef\xbb\xbf" + plain, "gzip": zipped(t, plain), "gzip with a byte order mark": zipped(t,
			"\xef\xbb\xbf"+plain),
		"two gzip members": zipped(t, plain[:9]) + zipped(t, plain[9:]), "UTF-16": utf16(plain, false),
		"UTF-16, big endian": utf16(plain, true), "gzip of UTF-16": zipped(t, utf16(plain, false)),
	} {
		t.Run(name, func(t *testing.T) {
			_, rows, err := read(iotest.OneByteReader(strings.NewReader(content)))
			require.NoError(t, err)
			assert.Equal(t, []string{".t|a|1"}, texts(rows))
			assert.Equal(t, 2, rows[0].Line)
		})
	}
	for name, bad := range map[string]struct{ content, message string }{
		"UTF-16 without a mark": {utf16(plain, false)[2:],
			"dump.sql:1: the file is UTF-16 without a byte order mark"},
		"UTF-16, another order": {utf16(plain, true)[2:],
			"dump.sql:1: the file is UTF-16 without a byte order mark"},
		"UTF-16 with an accent": {utf16("--\n-- café\n", false),
			"dump.sql:2: the file is UTF-16 with characters beyond ASCII"},
		"UTF-16 with a control": {utf16("-- \u0080\n", false),
			"dump.sql:1: the file is UTF-16 with characters beyond ASCII"},
		"UTF-16 beyond latin1": {utf16("-- Łódź\n", true),
			"dump.sql:1: the file is UTF-16 with characters beyond ASCII"},
		"UTF-16 cut in a character": {utf16(plain, false) + "x",
			"dump.sql:3: the file is UTF-16 and ends within a character"},
		"UTF-32": {"\xff\xfe\x00\x00-\x00\x00\x00", "dump.sql:1: the file is UTF-32"},
		"gzip in gzip": {zipped(t, zipped(t, plain)),
			"dump.sql:1: the file is compressed by gzip twice"},
		"gzip that is cut": {packed[:len(packed)-20],
			"the gzip stream is damaged or truncated: unexpected EOF"},
		"gzip without a checksum": {packed[:len(packed)-8],
			"dump.sql:1001: the gzip stream is damaged or truncated: unexpected EOF"},
		"gzip of which little is left": {packed[:12],
			"dump.sql:1: the gzip stream is damaged or truncated: unexpected EOF"},
		"gzip with a changed byte": {packed[:len(packed)-6] + "x" + packed[len(packed)-5:],
			"dump.sql:1001: the gzip stream is damaged or truncated: gzip: invalid checksum"},
		"gzip's first bytes only": {"\x1f\x8b", "dump.sql:1: the gzip stream is damaged or truncated"},
		"zip":                     {"PK\x03\x04rest", "dump.sql:1: the file is a zip archive: unpack it"},
		"bzip2":                   {"BZh91AY", "dump.sql:1: the file is compressed by bzip2"},
		"zstd":                    {"\x28\xb5\x2f\xfd", "dump.sql:1: the file is compressed by zstd"},
		"zstd in gzip":            {zipped(t, "\x28\xb5\x2f\xfd"), "dump.sql:1: the file is compressed by zstd"},
		"pg_dump -Fc": {"PGDMP\x01\x0e",
			"dump.sql:1: the file is an archive of PostgreSQL's pg_dump, expected a dump of MySQL"},
		"SQLite": {"SQLite format 3\x00", "dump.sql:1: the file is a database of SQLite"},
		"a web page": {"<!DOCTYPE html>",
			"dump.sql:1: the file is XML or HTML, expected a dump in SQL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(strings.NewReader(bad.content))
			var located *sqldump.Error
			require.ErrorAs(t, err, &located)
			assert.ErrorContains(t, err, bad.message)
		})
	}
}

// What a file may make the reader remember is bounded, and what a message quotes of it is short.
func TestLimits(t *testing.T) {
	columns := func(count int) string { return "a0 int" + numbered(1, count, ", a% int") }
	values := func(count int) string { return "(0" + strings.Repeat(",0", count-1) + ")" }
	variables := func(count int) string { return "SET @a0=0" + numbered(1, count, ", @a%=0") + ";" }
	for name, test := range map[string]struct{ within, beyond, message string }{
		"variables": {variables(1000), variables(1001), "dump.sql:1: the file sets more than 1000 variables"},
		"columns": {"CREATE TABLE t (" + columns(4096) + ");", "CREATE TABLE t (" + columns(4097) + ");",
			"table t has more than 4096 columns"},
		"named columns": {"INSERT INTO t (a0" + numbered(1, 4096, ",a%") + ") VALUES (1);", "INSERT INTO t (a0" +
			numbered(1, 4097, ",a%") + ") VALUES (1);", "more than 4096 columns are named"},
		"values": {"INSERT INTO t VALUES " + values(4096) + ";", "INSERT INTO t VALUES " + values(4097) + ";",
			"a row has more than 4096 values"},
		"a part of ALTER": {"ALTER TABLE t ADD KEY " + strings.Repeat("x ", 4094) + ";", "ALTER TABLE t ADD KEY " +
			strings.Repeat("x ", 4095) + ";", "a part has more than 4096 words"},
		"a value of SET": {"SET a=" + strings.Repeat("x ", 1000) + ";", "SET a=" + strings.Repeat("x ", 1001) + ";",
			"a value of more than 1000 words"},
		"a definition": {"CREATE TABLE t (a text COMMENT '" + strings.Repeat("x", 1<<20-14) + "');",
			"CREATE TABLE t (a text COMMENT '" + strings.Repeat("x", 1<<20-13) + "');",
			"a definition of more than 1048576 bytes"},
		"a delimiter": {"DELIMITER ;" + strings.Repeat(" ", 98) + "\nSET a=1;", "DELIMITER ;" + strings.Repeat(" ",
			99) + "\nSET a=1;", "DELIMITER: expected one or two signs"},
		"a word's mention": {";", strings.Repeat("x", 41) + ";", `"` + strings.Repeat("x", 40) +
			`..." starts no statement`},
		"a word, whole": {";", strings.Repeat("x", 40) + ";", `"` + strings.Repeat("x", 40) +
			`" starts no statement`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(strings.NewReader(test.within))
			require.NoError(t, err)
			_, _, err = read(strings.NewReader(test.beyond))
			require.ErrorContains(t, err, test.message)
			assert.Less(t, len(err.Error()), 250)
		})
	}
}

// numbered repeats a text with the numbers in place of %.
func numbered(from, to int, text string) string {
	var all strings.Builder
	for i := from; i < to; i++ {
		all.WriteString(strings.ReplaceAll(text, "%", strconv.Itoa(i)))
	}
	return all.String()
}

// endless gives one statement of rows for ever, and notes the heap meanwhile.
type endless struct {
	left, most int
	sample     []metrics.Sample
}

func (e *endless) Read(b []byte) (int, error) {
	metrics.Read(e.sample)
	e.most = max(e.most, int(e.sample[0].Value.Uint64()))
	switch {
	case e.left < 0:
		return 0, io.EOF
	case e.left == 0:
		e.left--
		return copy(b, "(1,'a');"), nil
	}
	n := len(b) / 8 * 8
	for i := 0; i < n; i += 8 {
		copy(b[i:], "(1,'a'),")
	}
	e.left--
	return n, nil
}

func TestMemoryIsFlatHoweverLongAStatementIs(t *testing.T) {
	source, rows := &endless{left: 400, sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}}, 0
	runtime.GC()
	err := sqldump.Read("dump.sql", io.MultiReader(strings.NewReader("INSERT INTO t VALUES "), source), sqldump.Handler{
		Row: func(sqldump.Row) error { rows++; return nil },
	})
	require.NoError(t, err)
	assert.Greater(t, rows, 3_000_000)
	assert.Less(t, source.most, 64<<20, "bytes of heap")
}

func TestARowIsBounded(t *testing.T) {
	value := "'" + strings.Repeat("x", 1<<20) + "'"
	row := func(values int) string {
		return "INSERT INTO t VALUES\n(1),\n(" + strings.Repeat(value+",\n", values-1) + value + ");"
	}
	_, rows, err := read(strings.NewReader(row(17)))
	require.NoError(t, err)
	require.Len(t, rows[1].Values, 17)
	_, _, err = read(strings.NewReader(row(18)))
	require.EqualError(t, err, "dump.sql:3: the row that starts here has values of more than 17825792 bytes")
}

func TestValuesThatNobodyWantsAreReadInFlatMemory(t *testing.T) {
	for name, text := range map[string]string{"string": "'\\'%s\\%%'", "hexadecimal": "0x%s", "bits": "b'%s'",
		"number": "1%s", "introduced": "_binary '%s'"} {
		t.Run(name, func(t *testing.T) {
			value := fmt.Sprintf(text, strings.Repeat("1", 35<<20)) // longer than a wanted one may be
			source := &watched{
				source: io.MultiReader(
					strings.NewReader("INSERT INTO other VALUES (1,"), strings.NewReader(value),
					strings.NewReader(",NULL),(-1,TRUE) ON DUPLICATE KEY UPDATE a = 1;INSERT INTO t VALUES (7);"),
				),
				sample: []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}},
			}
			runtime.GC()
			metrics.Read(source.sample)
			before := source.sample[0].Value.Uint64()
			var rows []sqldump.Row
			err := sqldump.Read("dump.sql", source, sqldump.Handler{
				Row:    func(row sqldump.Row) error { rows = append(rows, row); return nil },
				Wanted: func(_, table string) bool { return table == "t" },
			})
			require.NoError(t, err)
			require.Len(t, rows, 3)
			assert.Empty(t, rows[0].Values)
			assert.Equal(t, "7", rows[2].Values[0].Text)
			assert.Less(t, source.most-min(source.most, before), uint64(16<<20), "bytes of heap")
		})
	}
	_, _, err := read(strings.NewReader("INSERT INTO t VALUES ('" + strings.Repeat("1", 35<<20) + "');"))
	require.ErrorContains(t, err, "dump.sql:1: the quoted text that starts here is longer than")
}

// watched remembers the most bytes of heap that there were at any of its reads.
type watched struct {
	source io.Reader
	sample []metrics.Sample
	most   uint64
}

func (w *watched) Read(b []byte) (int, error) {
	metrics.Read(w.sample)
	w.most = max(w.most, w.sample[0].Value.Uint64())
	return w.source.Read(b)
}

func TestWhatIsHeldOfOtherStatementsIsBounded(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	for _, text := range []string{
		"SET @a = CONCAT('" + long + "', '" + long + "');", "ALTER TABLE t ADD KEY ('" + long + "', '" + long + "');",
		"CREATE TABLE t (a enum('" + long + "'), b enum('" + long + "'));", "INSERT INTO `" + long + "` VALUES (1);",
	} {
		_, _, err := read(strings.NewReader(text))
		assert.Error(t, err, text[:30])
	}
}

func TestReadersAndHandlersErrorsComeOut(t *testing.T) {
	broken := errors.New("disk gone")
	_, _, err := read(io.MultiReader(strings.NewReader("INSERT INTO t VALUES (1),"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	_, _, err = read(io.MultiReader(strings.NewReader("INSERT INTO t VALUES ('half"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken, "the file is not blamed")

	err = sqldump.Read(
		"dump.sql", strings.NewReader("INSERT INTO t VALUES (1);"),
		sqldump.Handler{Row: func(sqldump.Row) error { return broken }},
	)
	assert.ErrorIs(t, err, broken)
}

// Whatever the bytes are, reading ends, with an error that names a line of the file or without one.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"CREATE TABLE `t` (a int(11) NOT NULL, b varchar(5), PRIMARY KEY (a));\nINSERT INTO t VALUES (1,'x'),(2,NULL);",
		"/*!40101 SET NAMES utf8 */;\nDELIMITER ;;\nx;;\nDELIMITER ;\n",
		"INSERT INTO t VALUES (0x00,_binary 'a\\'',-1.5e+3,b'1');", "'\\", "-- ", "/*", "\xef\xbb\xbf",
		"SET @a=@@sql_mode, sql_mode='ANSI,NO_BACKSLASH_ESCAPES'; USE `a b`; INSERT INTO \"t\" VALUES ('\\'); SET " +
			"sql_mode=@a;",
		"/*!40101 SET NAMES latin1 */; /*M!999999 x */ TRUNCATE t; DROP TABLE a.t; ALTER TABLE t ADD KEY (a), " +
			"MODIFY a int AUTO_INCREMENT;",
		"START TRANSACTION; LOCK TABLES t WRITE; UNLOCK TABLES; COMMIT; -- MySQL dump 10\n-- Dump completed\n",
		zipped(f, "INSERT INTO t VALUES (1);"), utf16("SET a = 1;", true),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, err := read(strings.NewReader(string(data)))
		if err == nil {
			return
		}
		var located *sqldump.Error
		require.ErrorAs(t, err, &located)
		if !strings.HasPrefix(string(data), "\x1f\x8b") { // the lines of what is packed are not those of the file
			require.LessOrEqual(t, located.Line, 1+strings.Count(string(data), "\n"))
		}
		require.GreaterOrEqual(t, located.Line, 1)
	})
}

// Whatever a text holds, each way in which tools write it gives it back, and nothing of what stands
// around it is lost.
func FuzzTextsComeBack(f *testing.F) {
	for _, seed := range []string{"", "it's", `back\slash`, `\'`, "''", "a\x00b\x1a\r\n\t", "; -- /* */ #", "\"`",
		"é日本", "\xff\xfe", "'); DROP TABLE t; --"} {
		f.Add([]byte(seed))
	}
	escape := strings.NewReplacer("\\", `\\`, "'", `\'`, `"`, `\"`, "\x00", `\0`, "\n", `\n`, "\r", `\r`, "\x1a", `\Z`)
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		doubled := strings.ReplaceAll(text, "'", "''")
		statements := []string{
			"INSERT INTO t VALUES (1,'" + escape.Replace(text) + "',2);",
			"INSERT INTO t VALUES (1,'" + strings.ReplaceAll(doubled, `\`, `\\`) + "',2);",
			`INSERT INTO t VALUES (1,"` + escape.Replace(text) + `",2);`,
			"SET sql_mode='NO_BACKSLASH_ESCAPES'; INSERT INTO t VALUES (1,'" + doubled + "',2); SET sql_mode='';",
			"DELIMITER $$\nINSERT INTO t VALUES (1,'" + escape.Replace(text) + "',2)$$\nDELIMITER ;\n",
			"/*!40000 INSERT INTO t VALUES (1,'" + escape.Replace(text) + "',2) */;",
		}
		if text != "" {
			statements = append(
				statements, fmt.Sprintf("INSERT INTO t VALUES (1,0x%x,2);", text),
				fmt.Sprintf("INSERT INTO t VALUES (1,X'%X',2);", text),
			)
		}
		_, rows, err := read(strings.NewReader(strings.Join(statements, "")))
		require.NoError(t, err)
		require.Len(t, rows, len(statements))
		for i, row := range rows {
			require.Len(t, row.Values, 3, statements[i])
			require.Equal(
				t, []string{"1", text, "2"}, []string{row.Values[0].Text, row.Values[1].Text, row.Values[2].Text},
				statements[i],
			)
		}
	})
}
