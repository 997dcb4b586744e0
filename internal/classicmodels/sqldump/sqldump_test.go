package sqldump_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

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
		`'it''s'`:            {Kind: sqldump.String, Text: "it's"},
		`"say ""hi"""`:       {Kind: sqldump.String, Text: `say "hi"`},
		`'a\'b\\c\nd\0\Z\%'`: {Kind: sqldump.String, Text: "a'b\\c\nd\x00\x1a\\%"},
		`'; -- no comment'`:  {Kind: sqldump.String, Text: "; -- no comment"},
		`'caf` + "\xe9'":     {Kind: sqldump.String, Text: "caf\xe9"},
		`''`:                 {Kind: sqldump.String},
		`NULL`:               {Kind: sqldump.Null},
		`null`:               {Kind: sqldump.Null},
		`-12.50`:             {Kind: sqldump.Number, Text: "-12.50"},
		`+.5`:                {Kind: sqldump.Number, Text: ".5"},
		`1e-3`:               {Kind: sqldump.Number, Text: "1e-3"},
		`TRUE`:               {Kind: sqldump.Number, Text: "1"},
		`0x4142`:             {Kind: sqldump.Bytes, Text: "AB"},
		`0xA`:                {Kind: sqldump.Bytes, Text: "\n"},
		`x'4142'`:            {Kind: sqldump.Bytes, Text: "AB"},
		`b'101000001'`:       {Kind: sqldump.Bytes, Text: "\x01A"},
		`_binary 'A\0'`:      {Kind: sqldump.Bytes, Text: "A\x00"},
		`_utf8mb4'ü'`:        {Kind: sqldump.String, Text: "ü"},
		`/* c */ 7 # eight`:  {Kind: sqldump.Number, Text: "7"},
		"-- nine\n 9 -- ten": {Kind: sqldump.Number, Text: "9"},
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
	tables, rows, err := read(strings.NewReader("\xef\xbb\xbf/*!40101 SET NAMES utf8 */;\nSET @a = ';';\nLOCK TABLES `t` WRITE;;\n" +
		"CREATE TABLE IF NOT EXISTS `s`.`t` (\n `a b` int(11) unsigned NOT NULL AUTO_INCREMENT COMMENT 'x, ) y',\n price decimal( 10 , 2 ) DEFAULT '0.00',\n" +
		" kind enum('a','b;') NULL, c VARCHAR(5) PRIMARY KEY, PRIMARY KEY (`a b`), UNIQUE KEY k (c(3), kind), CHECK (price > (1))\n) ENGINE=InnoDB COMMENT='t;t';\n" +
		"DELIMITER ;;\nCREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN INSERT INTO t VALUES (1); END ;;\nDELIMITER ;\n" +
		"INSERT IGNORE INTO s.t (c, kind) VALUES ('1','a'),\n('2','b') ON DUPLICATE KEY UPDATE c = VALUES(c);\nREPLACE t VALUE (1,2);COMMIT;"))
	require.NoError(t, err)
	assert.Equal(t, []sqldump.Table{{Name: "t", Line: 4, Columns: []sqldump.Column{
		{Name: "a b", Type: "int unsigned"}, {Name: "price", Type: "decimal(10,2)", Nullable: true},
		{Name: "kind", Type: "enum(a,b;)", Nullable: true}, {Name: "c", Type: "varchar(5)"},
	}}}, tables)
	require.Len(t, rows, 3)
	assert.Equal(t, sqldump.Row{Table: "t", Columns: []string{"c", "kind"}, Line: 13, Values: []sqldump.Literal{
		{Kind: sqldump.String, Text: "2", Line: 13}, {Kind: sqldump.String, Text: "b", Line: 13},
	}}, rows[1])
	assert.Nil(t, rows[2].Columns)
}

func TestErrorsNameFileLineAndReason(t *testing.T) {
	for text, expected := range map[string]string{
		"\n\nINSERT INTO t VALUES (1":             "dump.sql:3: the statement that starts here has no end: the file is truncated",
		"INSERT INTO t VALUES (1)":                "dump.sql:1: the statement that starts here has no end: the file is truncated",
		"INSERT INTO t VALUES\n('a":               "dump.sql:2: the quoted text that starts here has no end: the file is truncated",
		"/* a":                                    "dump.sql:1: the comment that starts here has no end",
		"INSERT INTO t VALUES (1,)":               `dump.sql:1: expected a value, found ")": only literals are read`,
		"INSERT INTO t VALUES (1 2);":             `dump.sql:1: expected ")", found "2"`,
		"INSERT INTO t VALUES (1)\n(2);":          `dump.sql:2: expected a comma or a semicolon after the row, found "("`,
		"INSERT INTO t SELECT 1;":                 `dump.sql:1: expected VALUES, found "SELECT"`,
		"INSERT INTO t VALUES ('secret' 'name');": `dump.sql:1: expected ")", found a string`,
		"\nDELETE FROM t;":                        "dump.sql:2: DELETE is not read: a dump creates tables and inserts rows, nothing else may change them",
		"CREATE TABLE t (a int":                   "dump.sql:1: the statement that starts here has no end: the file is truncated",
		"CREATE TABLE t (a 5);":                   `dump.sql:1: expected the type of column a, found "5"`,
		"DELIMITER $$\nx":                         "dump.sql:1: the DELIMITER that is set here is never set back to ;",
		"'text';":                                 "dump.sql:1: a statement cannot start with a string",
		"INSERT INTO t VALUES (x'4G');":           "dump.sql:1: a hexadecimal value with other characters than 0-9 and a-f",
		"INSERT INTO t VALUES (b'12');":           "dump.sql:1: a bit value with other characters than 0 and 1",
	} {
		t.Run(text, func(t *testing.T) {
			_, _, err := read(strings.NewReader(text))
			require.EqualError(t, err, expected)
		})
	}
}

func TestReadersAndHandlersErrorsComeOut(t *testing.T) {
	broken := errors.New("disk gone")
	_, _, err := read(io.MultiReader(strings.NewReader("INSERT INTO t VALUES (1),"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	_, _, err = read(io.MultiReader(strings.NewReader("INSERT INTO t VALUES ('half"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken, "the file is not blamed")

	err = sqldump.Read("dump.sql", strings.NewReader("INSERT INTO t VALUES (1);"), sqldump.Handler{Row: func(sqldump.Row) error { return broken }})
	assert.ErrorIs(t, err, broken)
}

// Whatever the bytes are, reading ends, with an error that names a line of the file or without one.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"CREATE TABLE `t` (a int(11) NOT NULL, b varchar(5), PRIMARY KEY (a));\nINSERT INTO t VALUES (1,'x'),(2,NULL);",
		"/*!40101 SET NAMES utf8 */;\nDELIMITER ;;\nx;;\nDELIMITER ;\n", "INSERT INTO t VALUES (0x00,_binary 'a\\'',-1.5e+3,b'1');", "'\\", "-- ", "/*", "\xef\xbb\xbf",
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
		require.LessOrEqual(t, located.Line, 1+strings.Count(string(data), "\n"))
		require.GreaterOrEqual(t, located.Line, 1)
	})
}
