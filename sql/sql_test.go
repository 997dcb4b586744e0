package sql

import (
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/models"
)

func TestVectorSchemaIsOrderedAndSplitIntoStatements(t *testing.T) {
	scripts := VectorSchema()
	require.Len(t, scripts, 3)
	assert.Equal(t, "vectors/schema/01_roles.sql", scripts[0].Name)
	assert.Contains(t, scripts[0].Statements[0], "CREATE EXTENSION",
		"the extension comes before everything that uses its type")
	for _, script := range scripts {
		require.NotEmpty(t, script.Statements, script.Name)
		for _, statement := range script.Statements {
			assert.False(t, strings.HasSuffix(statement, ";"), "%s: %s", script.Name, statement)
		}
	}
}

func TestSplitKeepsBlocksWhole(t *testing.T) {
	assert.Equal(t,
		[]string{"SELECT 1", "DO $$\nBEGIN\n    PERFORM 1;\n    PERFORM 2;\nEND\n$$", "SELECT 3"},
		split("SELECT 1;\n\nDO $$\nBEGIN\n    PERFORM 1;\n    PERFORM 2;\nEND\n$$;\n\nSELECT 3;\n"))
	assert.Empty(t, split("\n\n"))
}

// Every file below vectors/ reaches a caller: as a script or as a statement.
func TestEveryEmbeddedFileIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, text := range []string{Activate, Active, DeployedSchemaVersion, ExtensionVersion, InsertVersion, Nearest,
		RecordSchemaVersion, Rollback, SetRun, SetState, Surplus, Switches, UserVectors, Version, Versions} {
		used[text] = true
	}
	require.NoError(t, fs.WalkDir(files, "vectors/statements", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text := strings.TrimSuffix(strings.TrimSpace(read(name)), ";")
		assert.True(t, used[text], "%s is read by nobody", name)
		assert.NotContains(t, text, ";\n", "%s holds more than one statement", name)
		return nil
	}))
}

func TestVectorHashIsStable(t *testing.T) {
	assert.Regexp(t, "^[0-9a-f]{64}$", VectorHash())
	assert.Equal(t, VectorHash(), VectorHash())
}

// PostgreSQL checks a model's version and length by itself: it must want what Go wants.
func TestSchemaAgreesWithTheContractOfModels(t *testing.T) {
	var patterns, dimensions []string
	for _, script := range VectorSchema() {
		text := read(script.Name)
		for _, match := range regexp.MustCompile(`model_version ~ '(.*?)'`).FindAllStringSubmatch(text, -1) {
			patterns = append(patterns, match[1])
		}
		for _, match := range regexp.MustCompile(`\bvector\((\d+)\)`).FindAllStringSubmatch(text, -1) {
			dimensions = append(dimensions, match[1])
		}
	}
	assert.Equal(t, []string{models.VersionPattern.String()}, patterns)
	require.NotEmpty(t, dimensions)
	for _, dimension := range dimensions {
		assert.Equal(t, strconv.Itoa(models.Dimension), dimension)
	}
}
