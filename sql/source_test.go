package sql

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSourceScriptsAreOrderedAndSplitIntoStatements(t *testing.T) {
	scripts := append([]Script{SourceRecord(), SourceTables()}, SourceAccounts(true, true)...)
	scripts = append(scripts, SourceAccounts(false, false)...)
	var names []string
	for _, script := range scripts {
		names = append(names, script.Name)
		require.NotEmpty(t, script.Statements, script.Name)
		for _, statement := range script.Statements {
			assert.NotContains(t, statement, ";\n", script.Name)
			assert.False(t, strings.HasSuffix(statement, ";"), "%s: %s", script.Name, statement)
		}
	}
	assert.Equal(t, []string{
		"source/schema/record.sql", "source/schema/tables.sql",
		"source/accounts/iam.sql", "source/accounts/tls.sql", "source/accounts/rights.sql",
		"source/accounts/locked.sql", "source/accounts/rights.sql",
	}, names)
}

// Nobody logs in without a token where there are tokens, without a password where there are none,
// or in clear text.
func TestSourceUsersHaveNoPasswordOfTheScripts(t *testing.T) {
	for _, user := range []string{SourceOwner, ETLReader, WebReader} {
		name := "'" + user + "'@'%'"
		assert.Contains(
			t, sourceText("accounts/iam.sql"), name+" IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;",
		)
		assert.Contains(t, sourceText("accounts/locked.sql"), name+" ACCOUNT LOCK;")
		assert.Contains(t, sourceText("accounts/tls.sql"), name+" REQUIRE SSL;")
		assert.Contains(t, sourceText("accounts/rights.sql"), "TO "+name+";")
	}
	for _, script := range append(SourceAccounts(true, true), SourceAccounts(false, true)...) {
		for _, statement := range script.Statements {
			assert.NotContains(t, statement, "IDENTIFIED BY")
		}
	}
}

func TestEverySourceStatementIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, text := range []string{SourceChangeRating, SourceDateRatings, SourceDeriveRatings, SourceHasIAM,
		SourceHasSchema, SourceLoad, SourceLoaded,
		SourceRecordAdvance, SourceRecordLoad, SourceRecordSchemaVersion, SourceDeployedVersion,
		SourceWithdrawProduct} {
		used[text] = true
	}
	entries, err := fs.ReadDir(sourceFiles, "source/statements")
	require.NoError(t, err)
	assert.Len(t, used, len(entries))
	for _, entry := range entries {
		text := strings.TrimSuffix(strings.TrimSpace(sourceText(path.Join("statements", entry.Name()))), ";")
		assert.True(t, used[text], "%s is read by nobody", entry.Name())
		assert.NotContains(t, text, ";\n", "%s holds more than one statement", entry.Name())
	}
}

func TestSourceHashIsStable(t *testing.T) {
	assert.Regexp(t, "^[0-9a-f]{64}$", SourceHash())
	assert.Equal(t, SourceHash(), SourceHash())
	assert.NotEqual(t, VectorHash(), SourceHash())
}
