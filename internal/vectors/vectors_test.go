package vectors

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/trainingset/publishedrun/publishedruntest"
	"diecast/internal/vectorloader"
	shipped "diecast/training/artifacts"
)

type store struct {
	Operator
	objects *modelstoretest.Objects
	lake    *publishedruntest.Lake
}

func newStore() store {
	s := store{objects: modelstoretest.New(), lake: publishedruntest.NewLake()}
	s.Operator = Operator{Bucket: s.objects.Bucket(), Objects: s.objects, Lake: publishedruntest.Bucket, Runs: s.lake,
		By: "ada@lab"}
	return s
}

// folder writes files by their names.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), content, 0o600))
	}
	return root
}

// course are the course's two files, of the shipped model.
func course(t *testing.T, below string) map[string][]byte {
	t.Helper()
	model, _, err := shipped.Model()
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, name := range []string{artifacts.ItemEmbeddings, artifacts.UserEmbeddings} {
		content, err := fs.ReadFile(model, name)
		require.NoError(t, err)
		files[below+filepath.Base(name)] = content
	}
	return files
}

func TestTheCoursesFilesAloneBecomeAModelOfEmbeddingsOnly(t *testing.T) {
	s := newStore()
	publishedruntest.Sample(t, 1, 0).Publish(t, s.lake)
	var versions []string
	for _, below := range []string{"", "embeddings/"} {
		uploaded, err := s.Upload(t.Context(), folder(t, course(t, below)), "")
		require.NoError(t, err)
		manifest, err := s.objects.Bucket().Manifest(t.Context(), uploaded.Manifest.ModelVersion)
		require.NoError(t, err)
		assert.Equal(t, artifacts.EmbeddingsOnly, manifest.Mode)
		assert.Equal(t, artifacts.Trained, manifest.Origin)
		assert.Len(t, manifest.Popularity, 110)
		assert.Contains(t, manifest.Files, artifacts.PopularityFile)
		assert.Contains(t, uploaded.Ranking, "what customers rated in run ")
		require.NoError(t, s.objects.Bucket().Download(t.Context(), manifest.ModelVersion, t.TempDir()))
		versions = append(versions, manifest.ModelVersion)
	}
	assert.Equal(t, versions[0], versions[1], "wherever the files lie")
}

func TestTheRankingIsTheOneThatIsGiven(t *testing.T) {
	s := newStore()
	own := folder(t, map[string][]byte{"mine.csv": []byte("id,score\nS10_1678,1\n")})
	model, err := fs.ReadFile(os.DirFS(folder(t, course(t, ""))), "item_embeddings.csv")
	require.NoError(t, err)
	first, _, _ := strings.Cut(strings.SplitN(string(model), "\n", 3)[1], ",")
	require.NoError(t, os.WriteFile(filepath.Join(own, "mine.csv"), []byte("id,score\n"+first+",1\n"), 0o600))
	uploaded, err := s.Upload(t.Context(), folder(t, course(t, "")), filepath.Join(own, "mine.csv"))
	require.NoError(t, err)
	assert.Equal(t, []artifacts.Popular{{ID: first, Score: 1}}, uploaded.Manifest.Popularity)

	files := course(t, "")
	files["popularity/item_popularity.csv"] = []byte("id,score\n" + first + ",0.5\n")
	uploaded, err = s.Upload(t.Context(), folder(t, files), "")
	require.NoError(t, err)
	assert.Equal(t, []artifacts.Popular{{ID: first, Score: 0.5}}, uploaded.Manifest.Popularity)

	uploaded, err = s.Upload(t.Context(), folder(t, course(t, "")), "")
	require.NoError(t, err, "nothing is published")
	assert.Empty(t, uploaded.Manifest.Popularity)
	assert.Contains(t, uploaded.Ranking, "customers without an embedding get nothing")
}

func TestAModelWithItsManifestIsUploadedAsItIs(t *testing.T) {
	s := newStore()
	model, version, err := shipped.Model()
	require.NoError(t, err)
	root := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.CopyFS(root, model))
	uploaded, err := s.Upload(t.Context(), root, "")
	require.NoError(t, err)
	assert.Equal(t, version, uploaded.Manifest.ModelVersion)
	_, err = s.objects.Bucket().Manifest(t.Context(), version)
	require.NoError(t, err)
	_, err = s.Upload(t.Context(), root, "mine.csv")
	require.ErrorContains(t, err, "has a manifest, and so its ranking")
}

func TestFoldersThatAreNoModelAreRefusedByFileAndLine(t *testing.T) {
	const header, items, users = "id,embedding\n", "item_embeddings.csv", "user_embeddings.csv"
	good := func(id string) string { return id + ",\"[1" + strings.Repeat(",0", 31) + "]\"\n" }
	for name, test := range map[string]struct {
		files   map[string]string
		message string
	}{
		"nothing":    {map[string]string{}, "item_embeddings.csv: does not exist"},
		"no users":   {map[string]string{items: header + good("A")}, "user_embeddings.csv: does not exist"},
		"a stranger": {map[string]string{"notes.txt": "x"}, "notes.txt: not a file of a model of embeddings only"},
		"a file twice": {map[string]string{items: header, "embeddings/item_embeddings.csv": header},
			"a second time"},
		"another length": {map[string]string{items: header + "A,\"[1,2]\"\n", users: header},
			"item_embeddings.csv:2: embedding of 2 dimensions: want 32"},
		"NaN": {map[string]string{items: header + strings.Replace(good("A"), "1", "NaN", 1), users: header},
			`item_embeddings.csv:2: embedding, element 1: got "NaN"`},
		"a duplicate": {map[string]string{items: header + good("A") + good("A"), users: header},
			`item_embeddings.csv:3: id "A": already on line 2`},
		"a broken ranking": {map[string]string{items: header + good("A"), users: header, "item_popularity.csv": "id\n"},
			"item_popularity.csv:1: want the header id,score"},
		"a bad manifest": {map[string]string{"manifest.json": "{}"}, "manifest.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore()
			files := map[string][]byte{}
			for name, text := range test.files {
				files[name] = []byte(text)
			}
			_, err := s.Upload(t.Context(), folder(t, files), "")
			require.ErrorContains(t, err, test.message)
			versions, err := s.objects.Bucket().Versions(t.Context(), s.objects)
			require.NoError(t, err)
			assert.Empty(t, versions)
		})
	}
}

func TestRequestsSayWhatIsWantedAndByWhom(t *testing.T) {
	s := newStore()
	var asked vectorloader.Request
	s.Invoke = func(_ context.Context, payload []byte) ([]byte, error) {
		asked = vectorloader.Request{}
		return []byte(`{}`), json.Unmarshal(payload, &asked)
	}
	for _, test := range []struct {
		call func() error
		want vectorloader.Request
	}{
		{func() error { _, err := s.Status(t.Context()); return err }, vectorloader.Request{Action: "status"}},
		{func() error { _, err := s.Load(t.Context(), "v", true); return err },
			vectorloader.Request{Action: "load", ModelVersion: "v", Activate: true}},
		{func() error { _, err := s.Refresh(t.Context(), "r"); return err },
			vectorloader.Request{Action: "refresh", Run: "r", Lake: publishedruntest.Bucket}},
		{func() error { _, err := s.Approve(t.Context(), "v"); return err },
			vectorloader.Request{Action: "approve", ModelVersion: "v"}},
		{func() error { _, err := s.Reject(t.Context(), "v", "why"); return err },
			vectorloader.Request{Action: "reject", ModelVersion: "v", Reason: "why"}},
		{func() error { _, err := s.Rollback(t.Context()); return err }, vectorloader.Request{Action: "rollback"}},
	} {
		require.NoError(t, test.call())
		test.want.By = "ada@lab"
		assert.Equal(t, test.want, asked)
	}
	s.By = strings.Repeat("ä", 300)
	_, err := s.Status(t.Context())
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat("ä", vectorloader.MaxBy), asked.By)

	refused := errors.New("refused")
	s.Invoke = func(context.Context, []byte) ([]byte, error) { return nil, refused }
	_, err = s.Status(t.Context())
	require.ErrorIs(t, err, refused)
	s.Invoke = func(context.Context, []byte) ([]byte, error) { return []byte(`[`), nil }
	_, err = s.Status(t.Context())
	require.ErrorContains(t, err, "the loader's answer to status")
}
