package publishedrun_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/trainingset"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/trainingset/publishedrun/publishedruntest"
)

func published(t *testing.T) (*publishedruntest.Lake, *publishedruntest.Set) {
	t.Helper()
	lake, set := publishedruntest.NewLake(), publishedruntest.Sample(t, 0.1, 0)
	set.Files = 3
	set.Publish(t, lake)
	return lake, set
}

func codes(t *testing.T, run publishedrun.Run) (all []string, err error) {
	t.Helper()
	for row, err := range run.Rows(t.Context(), "products", "productCode") {
		if err != nil {
			return all, err
		}
		assert.Len(t, row.Values, 1)
		assert.NotEmpty(t, row.Place())
		all = append(all, row.Values[0])
	}
	return all, nil
}

func TestRowsOfAllFilesAreRead(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lake, set := published(t)
	run, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, "")
	require.NoError(t, err)
	found, err := codes(t, run)
	require.NoError(t, err)
	var want []string
	for _, row := range set.Tables["products"] {
		want = append(want, row[0])
	}
	assert.ElementsMatch(t, want, found)
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left, "copies of files")
}

func TestWhoWantsNoMoreStops(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lake, _ := published(t)
	run, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, "")
	require.NoError(t, err)
	for _, err := range run.Rows(t.Context(), "ratings", "productRating") {
		require.NoError(t, err)
		break
	}
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestWhatIsNotAsPublishedIsRefused(t *testing.T) {
	pointer := trainingset.Prefix + "/" + trainingset.PublishedName
	for name, test := range map[string]struct {
		change  func(lake *publishedruntest.Lake, folder string)
		wanted  string
		message string
	}{
		"nothing published": {func(lake *publishedruntest.Lake, _ string) { *lake = *publishedruntest.NewLake() }, "",
			"s3://lake/" + pointer + ": nothing is published there: run the ETL job first"},
		"a pointer that is none": {func(lake *publishedruntest.Lake, _ string) { lake.Put(pointer, []byte("{}")) }, "",
			"s3://lake/" + pointer + ": schema_version: got nothing"},
		"another run": {nil, "yesterday", "is published, not yesterday"},
		"another manifest": {func(lake *publishedruntest.Lake, folder string) {
			lake.Put(folder+"manifest.json", []byte("{}"))
		}, "", "manifest.json: sha256 is"},
		"a file cut short": {func(lake *publishedruntest.Lake, folder string) {
			lake.Put(folder+"products/part-00001.csv", []byte("productCode"))
		}, "", "products/part-00001.csv: has 11 bytes"},
		"a file that grew": {func(lake *publishedruntest.Lake, folder string) {
			key := folder + "products/part-00001.csv"
			lake.Put(key, append(bytes.Clone(lake.Object(key)), "more"...))
		}, "", "the manifest says"},
		"a file that was changed": {func(lake *publishedruntest.Lake, folder string) {
			key := folder + "products/part-00001.csv"
			changed := bytes.Clone(lake.Object(key))
			changed[len(changed)-2] ^= 1
			lake.Put(key, changed)
		}, "", "products/part-00001.csv: has sha256"},
	} {
		t.Run(name, func(t *testing.T) {
			lake, set := published(t)
			if test.change != nil {
				test.change(lake, trainingset.Prefix+"/"+set.RunID+"/")
			}
			run, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, test.wanted)
			if err == nil {
				_, err = codes(t, run)
			}
			require.ErrorContains(t, err, test.message)
		})
	}
}

// A run whose tables have other columns is none of the contract's, however well it is published.
func TestARunOfOtherColumnsIsRefused(t *testing.T) {
	lake, set := published(t)
	key := trainingset.Prefix + "/" + set.RunID + "/" + trainingset.ManifestName
	changed := bytes.Replace(lake.Object(key), []byte(`"MSRP"`), []byte(`"price"`), 1)
	require.NotEqual(t, lake.Object(key), changed)
	lake.Put(key, changed)
	pointer := trainingset.Prefix + "/" + trainingset.PublishedName
	lake.Put(pointer, fmt.Appendf(nil,
		`{"schema_version":1,"run_id":%q,"published_at":"2026-03-01T09:00:00Z","manifest_sha256":"%x"}`, set.RunID,
		sha256.Sum256(changed)))
	_, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, "")
	require.ErrorContains(t, err, key+": tables.")
	require.ErrorContains(t, err, "want MSRP")
}
