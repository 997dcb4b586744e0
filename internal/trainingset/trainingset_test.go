package trainingset_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/trainingset"
	"diecast/test/contracts"
)

const suiteName = "training_set_manifest"

func TestContract(t *testing.T) {
	contracts.Check(t, suiteName, func(data []byte) error {
		_, err := trainingset.Decode(data)
		return err
	})
}

func TestPublishedContract(t *testing.T) {
	contracts.Check(t, "training_set_published", func(data []byte) error {
		_, err := trainingset.DecodePublished(data)
		return err
	})
}

func TestOutcomeContract(t *testing.T) {
	contracts.Check(t, "training_set_outcome", func(data []byte) error {
		_, err := trainingset.DecodeOutcome(data)
		return err
	})
}

func FuzzDecodePublished(f *testing.F) {
	suite := contracts.Load(f, "training_set_published")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := trainingset.DecodePublished(data)
		suite.Agree(t, data, err)
	})
}

func FuzzDecodeOutcome(f *testing.F) {
	suite := contracts.Load(f, "training_set_outcome")
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := trainingset.DecodeOutcome(data)
		suite.Agree(t, data, err)
	})
}

func TestOutcomeIsReadWhole(t *testing.T) {
	outcome, err := trainingset.DecodeOutcome(contracts.Load(t, "training_set_outcome").Example(t, "failed"))
	require.NoError(t, err)
	assert.Equal(t, trainingset.Failed, outcome.Status)
	assert.Equal(t, "quality", outcome.Stage)
	assert.EqualValues(t, 2532, outcome.Rows.Read["ratings"])
	assert.EqualValues(t, 40, outcome.Rows.Quarantined["ratings"])
	assert.Equal(t, trainingset.Rule{
		Table: "ratings", Rule: "range", Column: "productRating", Expected: "from 1 to 5", Found: "6", Rows: 40,
	}, outcome.Rules[1])
	assert.InDelta(t, 3.25, outcome.Seconds["read"], 0)
	assert.False(t, outcome.FinishedAt.IsZero())
}

func TestManifestOfTheJobIsReadWhole(t *testing.T) {
	manifest, err := trainingset.Decode(contracts.Load(t, suiteName).Example(t, "job"))
	require.NoError(t, err)
	for _, name := range trainingset.TableNames() {
		assert.Equal(t, trainingset.Columns(name), manifest.Tables.All()[name].Columns, name)
	}
	assert.Len(t, manifest.SourceSchema, 1)
	assert.Equal(t, []trainingset.Addition{{Table: "customers", Column: "loyaltyTier", Type: "varchar"}},
		manifest.Additions)
}

func TestTheCataloguesTableOfTheRatingsHasTheCoursesName(t *testing.T) {
	assert.Equal(t, "catalogue/ratings_ml_training", trainingset.CatalogueFolder("ratings", trainingset.Parquet))
	assert.Equal(t, "catalogue/sales", trainingset.CatalogueFolder("sales", trainingset.Parquet))
	assert.Equal(t, "catalogue/ratings_ml_training_csv", trainingset.CatalogueFolder("ratings", trainingset.CSV))
}

func TestMeansHaveATableOfTheirOwnInTheCatalogue(t *testing.T) {
	for format, name := range map[trainingset.Format]string{trainingset.Parquet: "ratings_ml_training_average",
		trainingset.CSV: "ratings_ml_training_average_csv"} {
		entries := trainingset.Catalogue(format)
		means := entries[len(entries)-1]
		assert.Equal(t, "catalogue/"+name, means.Folder)
		assert.Equal(t, name, means.Name)
		ratings := trainingset.Columns("ratings")
		require.Len(t, means.Columns, len(ratings))
		for i, column := range means.Columns {
			if column.Name == "productRating" {
				assert.Equal(t, "double", column.Type)
				continue
			}
			assert.Equal(t, ratings[i], column)
		}
		names := map[string]bool{}
		for _, entry := range entries {
			names[entry.Name] = true
		}
		assert.Len(t, names, len(trainingset.TableNames())+1)
	}
}

func TestWhatARunTookOverIsRead(t *testing.T) {
	manifest, err := trainingset.Decode(contracts.Load(t, suiteName).Example(t, "looking_back"))
	require.NoError(t, err)
	assert.Equal(t, trainingset.Average, manifest.Strategy)
	assert.Equal(t, "20260228T090000Z-0a1b2c3d", manifest.PreviousRun)
	assert.Equal(t, "2026-02-28T23:59:59.5Z", manifest.Watermark.Format(time.RFC3339Nano))
	assert.Equal(t, "2026-02-20T00:00:00Z", manifest.Window.Since.Format(time.RFC3339))
	assert.True(t, manifest.Window.Until.IsZero())
	assert.Equal(t, trainingset.Drift{Table: "ratings", Column: "*", Measure: "rows", Before: 2500, Now: 2532,
		Change: 0.0128, Limit: 0.5, Passed: true}, manifest.Quality.Drift[0])
	assert.Equal(t, trainingset.Measure{Table: "ratings", Column: "productRating", Measure: "mean", Value: 3.25},
		manifest.Quality.Measures[1])
}

func FuzzDecode(f *testing.F) {
	suite := contracts.Load(f, suiteName)
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		manifest, err := trainingset.Decode(data)
		suite.Agree(t, data, err)
		if err == nil {
			encoded, err := manifest.Encode()
			require.NoError(t, err)
			again, err := trainingset.Decode(encoded)
			require.NoError(t, err)
			require.Equal(t, manifest, again)
		}
	})
}

// run is a folder that obeys its manifest.
func run(t *testing.T) fstest.MapFS {
	var manifest map[string]any
	require.NoError(t, json.Unmarshal(contracts.Load(t, suiteName).Example(t, "csv_latest"), &manifest))
	folder := fstest.MapFS{"_SUCCESS": {}, "ratings/.part-00000.csv.crc": {Data: []byte("x")}}
	for _, table := range manifest["tables"].(map[string]any) {
		for _, entry := range table.(map[string]any)["files"].([]any) {
			file := entry.(map[string]any)
			data := []byte("rows of " + file["path"].(string))
			sum := sha256.Sum256(data)
			file["sha256"], file["bytes"] = hex.EncodeToString(sum[:]), len(data)
			folder[file["path"].(string)] = &fstest.MapFile{Data: data}
		}
	}
	data, err := json.Marshal(manifest)
	require.NoError(t, err)
	folder["manifest.json"] = &fstest.MapFile{Data: data}
	return folder
}

func TestVerifyAcceptsARunThatObeysItsManifest(t *testing.T) {
	manifest, err := trainingset.Verify(run(t))
	require.NoError(t, err)
	assert.EqualValues(t, 2532, manifest.Tables.Ratings.Rows)
	assert.Equal(t, "2026-03-01T09-00-00Z", manifest.RunID)
	assert.Len(t, manifest.Tables.Ratings.Columns, 15)
}

func TestVerifyNamesEveryFileThatDiffers(t *testing.T) {
	folder := run(t)
	folder["ratings/part-00000.csv"].Data[0] ^= 1
	delete(folder, "products/part-00000.csv")
	folder["customers/part-00001.csv"] = &fstest.MapFile{Data: []byte("left over")}
	_, err := trainingset.Verify(folder)
	var refused *artifacts.Error
	require.ErrorAs(t, err, &refused)
	files := []string{}
	for _, problem := range refused.Problems {
		files = append(files, problem.File)
	}
	assert.ElementsMatch(t, []string{"ratings/part-00000.csv", "products/part-00000.csv", "customers/part-00001.csv"},
		files)
}

func TestVerifyWithoutAManifestSaysSo(t *testing.T) {
	_, err := trainingset.Verify(fstest.MapFS{})
	assert.ErrorContains(t, err, "manifest")
}

func TestShown_followsTheStrategy(t *testing.T) {
	manifest, err := trainingset.Decode(contracts.Load(t, "training_set_manifest").Example(t, "job"))
	require.NoError(t, err)
	shown := func() map[string]int {
		files := map[string]int{}
		for _, entry := range trainingset.Catalogue(trainingset.Parquet) {
			if of, ok := manifest.Shown(entry); ok {
				files[entry.Name] = len(of)
			}
		}
		return files
	}
	assert.Len(t, shown(), len(manifest.Tables.All())+1, "the ratings have two")
	assert.Positive(t, shown()["ratings_ml_training"])
	assert.Zero(t, shown()["ratings_ml_training_average"])
	manifest.Strategy = trainingset.Average
	assert.Zero(t, shown()["ratings_ml_training"])
	assert.Positive(t, shown()["ratings_ml_training_average"])
	assert.Positive(t, shown()["sales"])
	manifest.Tables.Sales = nil
	assert.NotContains(t, shown(), "sales", "the run says nothing of it")
}
