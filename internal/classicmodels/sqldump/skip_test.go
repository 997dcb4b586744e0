package sqldump_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/classicmodels/sqldump"
)

// What follows a statement without its end would be lost with it: rows, and what the rest must be
// read by.
func TestAStatementWithoutItsEndHidesNoOther(t *testing.T) {
	heads := []string{
		"UNLOCK TABLES", "COMMIT", "COMMIT WORK", "FLUSH TABLES", "FLUSH TABLES t WITH READ LOCK",
		"LOCK TABLES t WRITE",
		"LOCK TABLES t READ LOCAL, s AS x WRITE", "START TRANSACTION", "START TRANSACTION READ ONLY", "BEGIN",
		"DROP VIEW IF EXISTS v", "DROP PROCEDURE p", "DROP TABLE IF EXISTS s", "TRUNCATE TABLE s", "DELETE FROM s",
		"ANALYZE TABLE t", "OPTIMIZE TABLE t", "GRANT SELECT, INSERT ON x.* TO y", "REVOKE SELECT ON x.* FROM y",
		"STOP REPLICA", "CHANGE MASTER TO MASTER_LOG_POS = 4", "USE x", "SET NAMES utf8mb4", "SET @a = 1",
		"SET b = @@c",
		"SET TRANSACTION READ ONLY", "CREATE DATABASE x DEFAULT CHARACTER SET utf8mb4",
		"CREATE VIEW v AS SELECT a FROM t",
		"CREATE TABLE s (a int) ENGINE=InnoDB", "ALTER TABLE t ADD KEY (a)", "ALTER TABLE t ENABLE KEYS",
		"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1",
		"INSERT INTO t VALUES (1) AS n ON DUPLICATE KEY UPDATE a = n.a",
	}
	hidden := []string{
		"INSERT INTO t VALUES (2)", "INSERT t VALUES (2)", "REPLACE t VALUES (2)",
		"INSERT LOW_PRIORITY INTO t VALUES (2)",
		"INSERT DELAYED t VALUES (2)", "insert `t` values (2)", "USE other", "SET NAMES latin1",
		"SET sql_mode = 'ANSI'",
		"CREATE TABLE u (a int)", "DROP TABLE t", "UPDATE t SET a = 1", "DELETE FROM t", "TRUNCATE t", "COMMIT",
		"BEGIN", "LOCK TABLES t WRITE", "CALL p()", "DELIMITER $$", "LOAD DATA INFILE 'x' INTO TABLE t",
	}
	for _, head := range heads {
		for _, next := range hidden {
			text := "CREATE TABLE t (a int);\n" + head + "\n" + next + ";\nCOMMIT;UNLOCK TABLES;\n"
			_, _, err := read(strings.NewReader(text))
			if assert.Error(t, err, "%s\n%s", head, next) {
				assert.Regexp(t, `^dump\.sql:[23]: `, err.Error(), "%s\n%s", head, next)
			}
		}
	}
	// On one line, too, where the words cannot mean anything else.
	for _, text := range []string{
		"UNLOCK TABLES USE other;", "SET @a = 1 USE other;", "SET NAMES utf8 SET sql_mode = 'ANSI';",
		"DROP VIEW v INSERT t VALUES (2);", "FLUSH TABLES INSERT DELAYED t VALUES (2);",
		"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1 REPLACE t VALUES (2);",
	} {
		_, _, err := read(strings.NewReader("CREATE TABLE t (a int);\n" + text + "\n"))
		assert.Error(t, err, text)
	}
}

func TestWordsOfStatementsWithinOthersAreRead(t *testing.T) {
	for _, text := range []string{
		"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `x` /*!40100 DEFAULT CHARACTER\nSET utf8mb4 */;",
		"CREATE VIEW v AS SELECT\n REPLACE(a, 'x', 'y'),\n INSERT (a, 1, 2, 'b') FROM t\n USE INDEX (k) ORDER BY a;",
		"GRANT SELECT,\nINSERT,\nUPDATE (a), CREATE VIEW, DROP\nON x.* TO y WITH\nGRANT OPTION;",
		"CREATE USER u IDENTIFIED BY 'x' ACCOUNT LOCK;", "ALTER USER u ACCOUNT\nUNLOCK;",
		"ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES s (a) ON\nDELETE SET NULL ON\nUPDATE CASCADE;",
		"INSERT INTO t VALUES (1) ON DUPLICATE KEY\nUPDATE a = REPLACE(a, 1, 2);",
		"CREATE SEQUENCE s\nSTART WITH 1;", "FLUSH TABLES t WITH READ\nLOCK;\n",
		"LOCK INSTANCE FOR BACKUP; UNLOCK INSTANCE;",
		"LOCK TABLES t READ /*!32311 LOCAL */, `s` AS `x` LOW_PRIORITY WRITE, t y WRITE;\nUNLOCK TABLES;",
		"START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY;\nCOMMIT AND NO CHAIN NO RELEASE;",
		"BEGIN WORK; COMMIT WORK;",
		"SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'a:1-2,\nb:1';", "DROP TABLE IF EXISTS a, `b`.`c` CASCADE;",
		"DELIMITER $$\nCREATE PROCEDURE p() BEGIN\nINSERT INTO t VALUES (1);\nIF a THEN\n" +
			"USE_IT: LOOP SET b = 1; END LOOP;\n" +
			"END IF; SELECT CASE WHEN IF(a, b, c) THEN 1 END, REPEAT ('x', 2); DROP TABLE IF EXISTS u; END; $$\n" +
			"DELIMITER ;",
		"DELIMITER ;;\nCREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW IF NEW.a IS NULL THEN SET NEW.a = 1;\n" +
			"ELSEIF NEW.a = 2 THEN SET NEW.a = 3; END IF ;;\nDELIMITER ;",
		"DELIMITER //\nCREATE EVENT e ON SCHEDULE EVERY 1 DAY DO\nDELETE FROM t//\nCREATE FUNCTION f() RETURNS int\n" +
			"RETURN 1//\nDROP VIEW IF EXISTS v//\nDELIMITER ;",
		"DELIMITER $$\nCREATE PROCEDURE p() WHILE a DO CASE b WHEN 1 THEN SET c = 1; END CASE; " +
			"REPEAT SET d = 1; UNTIL d " +
			"END REPEAT; END WHILE$$\nDELIMITER ;",
	} {
		_, rows, err := read(strings.NewReader("CREATE TABLE t (a int);\n" + text + "\nINSERT INTO t VALUES (7);\n"))
		require.NoError(t, err, text)
		assert.Equal(t, "7", rows[len(rows)-1].Values[0].Text, text)
	}
}

// A server runs what stands behind a semicolon as a statement of its own.
func TestUnderADelimiterOfItsOwnNothingHidesBehindASemicolon(t *testing.T) {
	for _, head := range []string{
		"DROP TABLE IF EXISTS s", "CREATE TABLE s (a int)", "CREATE TABLE s (a int) ENGINE=InnoDB", "UNLOCK TABLES",
		"SET @a = 1", "SET sql_mode = ''", "CREATE PROCEDURE p() SELECT 1", "CREATE PROCEDURE p() BEGIN SELECT 1; END",
		"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW IF a THEN SET b = 1; END IF", "CREATE VIEW v AS SELECT 1",
		"ALTER TABLE t ADD KEY (a)", "COMMIT", "FLUSH TABLES", "GRANT SELECT ON x.* TO y", "USE x",
		"CREATE FUNCTION f() RETURNS int RETURN CASE WHEN 1 THEN 2 END",
	} {
		_, rows, err := read(strings.NewReader(
			"CREATE TABLE t (a int);\nDELIMITER $$\n" + head + "; INSERT INTO t VALUES (1); $$\nDELIMITER ;\n",
		))
		assert.Error(t, err, head)
		assert.Empty(t, rows, head)
	}
	// The client takes DELIMITER wherever a line begins with it.
	_, _, err := read(strings.NewReader(
		"DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT 1; END\nDELIMITER ;\nINSERT INTO t VALUES (1); -- $$\n",
	))
	assert.EqualError(
		t, err, "dump.sql:2: the statement that starts here has no end before the next one in line 3: $$ is missing",
	)
}

func TestRowsWithoutACommitAreRefusedWhereAutocommitIsOff(t *testing.T) {
	for text, whole := range map[string]bool{
		"SET autocommit=0;\nINSERT INTO t VALUES (1);":                                            false,
		"SET @@session.autocommit = OFF;\nINSERT INTO t VALUES (1);":                              false,
		"SET AUTOCOMMIT = 0;\nINSERT INTO t VALUES (1);\nCOMMIT;\nINSERT INTO t VALUES (2);":      false,
		"SET autocommit=0;\nINSERT INTO t VALUES (1);\nCOMMIT;":                                   true,
		"SET autocommit=0;\nINSERT INTO t VALUES (1);\nSET autocommit=1;":                         true,
		"SET @o = @@autocommit, autocommit = 0;\nINSERT INTO t VALUES (1);\nSET autocommit = @o;": true,
		"SET autocommit=0;": true,
		"SET GLOBAL autocommit=0;\nINSERT INTO t VALUES (1);": true,
	} {
		_, _, err := read(strings.NewReader(text))
		if whole {
			assert.NoError(t, err, text)
			continue
		}
		assert.ErrorContains(t, err, "has no COMMIT: the file is truncated", text)
		var located *sqldump.Error
		require.ErrorAs(t, err, &located)
		assert.Equal(t, strings.Count(text, "\n")+1, located.Line, text)
	}
}
