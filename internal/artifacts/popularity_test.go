package artifacts_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
)

var ranking = []artifacts.Popular{{ID: "S18_2248", Score: 0.7123}, {ID: "S10_1678", Score: 0.5}}

func TestARankingIsReadAsItWasWritten(t *testing.T) {
	text := artifacts.FormatPopularity(ranking)
	assert.Equal(t, "id,score\nS18_2248,0.7123\nS10_1678,0.5\n", string(text))
	read, err := artifacts.ReadPopularity(strings.NewReader("\ufeff"+string(text)), "p.csv")
	require.NoError(t, err)
	assert.Equal(t, ranking, read)
}

func TestABadRankingIsRefusedByLine(t *testing.T) {
	for name, test := range map[string]struct{ text, message string }{
		"empty":             {"", "p.csv:1: want the header id,score"},
		"embeddings":        {"id,embedding\n", "p.csv:1: want the header id,score"},
		"UTF-16":            {"\xff\xfei\x00", "p.csv:1: it is UTF-16"},
		"cut short":         {"id,score\n\"A", "p.csv:2: broken CSV"},
		"three fields":      {"id,score\nA,1,2\n", "p.csv:2: has 3 fields"},
		"no number":         {"id,score\nA,NaN\n", `p.csv:2: score: got "NaN", want a finite number`},
		"a space":           {"id,score\nA 1,1\n", `p.csv:2: id "A 1": want 1 to 64 visible`},
		"a product twice":   {"id,score\nA,1\nA,1\n", `p.csv:3: id "A": already on line 2`},
		"the best one last": {"id,score\nA,1\nB,2\n", "p.csv:3: score 2 after 1: want the best first"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifacts.ReadPopularity(strings.NewReader(test.text), "p.csv")
			require.ErrorContains(t, err, test.message)
		})
	}
}

// refreshed is a model whose ranking lies in a file, too.
func refreshed(t *testing.T, inFile []artifacts.Popular) fstest.MapFS {
	text := artifacts.FormatPopularity(inFile)
	files := folder(t, func(m *artifacts.Manifest) {
		sum := sha256.Sum256(text)
		m.Files[artifacts.PopularityFile] = artifacts.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(text))}
		m.ModelVersion = artifacts.Version(m.Files)
		m.Popularity = ranking
	})
	files[artifacts.PopularityFile] = &fstest.MapFile{Data: text}
	return files
}

func TestVerifyHoldsTheRankingsFileToTheManifest(t *testing.T) {
	_, err := artifacts.Verify(refreshed(t, ranking))
	require.NoError(t, err)
	_, err = artifacts.Verify(refreshed(t, ranking[:1]))
	require.ErrorContains(t, err, "popularity/item_popularity.csv: ranks otherwise than popularity in manifest.json")
	_, err = artifacts.Verify(refreshed(t, []artifacts.Popular{ranking[1], ranking[0]}))
	require.ErrorContains(t, err, "popularity/item_popularity.csv:3: score 0.7123 after 0.5: want the best first")
}

func TestAdoptTakesTheRankingThatLiesThere(t *testing.T) {
	files := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: csv(row("S10_1678", unit(0)), row("S18_2248", unit(1)))},
		artifacts.UserEmbeddings: {Data: csv(row("103", unit(2)))},
		artifacts.PopularityFile: {Data: artifacts.FormatPopularity(ranking)},
	}
	manifest, err := artifacts.Adopt(files, nil)
	require.NoError(t, err)
	assert.Equal(t, ranking, manifest.Popularity)
	assert.Contains(t, manifest.Files, artifacts.PopularityFile, "so that the version covers it")
	_, err = artifacts.Adopt(files, ranking[:1])
	require.ErrorContains(t, err, "ranks otherwise")
}
