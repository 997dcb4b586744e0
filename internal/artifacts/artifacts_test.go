package artifacts_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/models"
	"diecast/internal/strictjson"
	"diecast/test/contracts"
)

const suiteName = "artifacts_manifest"

func TestContract(t *testing.T) {
	contracts.Check(t, suiteName, func(data []byte) error {
		_, err := artifacts.DecodeManifest(data)
		return err
	})
}

func FuzzDecodeManifest(f *testing.F) {
	suite := contracts.Load(f, suiteName)
	suite.Seed(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		manifest, err := artifacts.DecodeManifest(data)
		suite.Agree(t, data, err)
		if err == nil {
			encoded, err := manifest.Encode()
			require.NoError(t, err)
			again, err := artifacts.DecodeManifest(encoded)
			require.NoError(t, err)
			require.Equal(t, manifest, again)
		}
	})
}

func TestVersionOfTheGoldenManifest(t *testing.T) {
	for _, name := range []string{"towers", "refreshed", "embeddings_only"} {
		manifest, err := artifacts.DecodeManifest(contracts.Load(t, suiteName).Example(t, name))
		require.NoError(t, err)
		assert.Equal(t, manifest.ModelVersion, artifacts.Version(manifest.Files), name)
	}
}

func TestVersionFollowsTheRuleOfTheContract(t *testing.T) {
	one, two := strings.Repeat("1", 64), strings.Repeat("2", 64)
	sum := sha256.Sum256([]byte("a/b " + one + "\na-c " + two + "\n"))
	wrongOrder := hex.EncodeToString(sum[:])[:12]
	sum = sha256.Sum256([]byte("a-c " + two + "\na/b " + one + "\n"))
	files := map[string]artifacts.File{"a/b": {SHA256: one}, "a-c": {SHA256: two}}
	assert.Equal(t, hex.EncodeToString(sum[:])[:12], artifacts.Version(files))
	assert.NotEqual(t, wrongOrder, artifacts.Version(files), "paths are sorted by bytes, the dash before the slash")
	files["a/b"] = artifacts.File{SHA256: two}
	assert.NotEqual(t, hex.EncodeToString(sum[:])[:12], artifacts.Version(files))
}

func unit(position int) []float32 {
	vector := make([]float32, models.Dimension)
	vector[position] = 1
	return vector
}

func csv(rows ...string) []byte { return []byte("id,embedding\n" + strings.Join(rows, "\n") + "\n") }

func row(id string, vector []float32) string {
	return fmt.Sprintf("%s,%q", id, artifacts.FormatVector(vector))
}

// folder is a model that obeys its manifest; edit may change the manifest before it is written.
func folder(t *testing.T, edit func(*artifacts.Manifest)) fstest.MapFS {
	manifest, err := artifacts.DecodeManifest(contracts.Load(t, suiteName).Example(t, "towers"))
	require.NoError(t, err)
	files := fstest.MapFS{
		artifacts.ItemEmbeddings:   {Data: csv(row("S10_1678", unit(0)), row("S18_2248", unit(1)))},
		artifacts.UserEmbeddings:   {Data: csv(row("103", unit(2)))},
		artifacts.UserTower:        {Data: []byte("a graph")},
		artifacts.ItemTower:        {Data: []byte("another graph")},
		"scalers/user_scaler.json": {Data: []byte("{}")},
	}
	manifest.Items.Rows, manifest.Users.Rows = 2, 1
	seal(&manifest, files)
	if edit != nil {
		edit(&manifest)
	}
	writeManifest(t, manifest, files)
	return files
}

func seal(manifest *artifacts.Manifest, files fstest.MapFS) {
	manifest.Files = map[string]artifacts.File{}
	for path, file := range files {
		if path != artifacts.ManifestName {
			sum := sha256.Sum256(file.Data)
			manifest.Files[path] = artifacts.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(file.Data))}
		}
	}
	manifest.ModelVersion = artifacts.Version(manifest.Files)
}

func writeManifest(t *testing.T, manifest artifacts.Manifest, files fstest.MapFS) {
	data, err := manifest.Encode()
	require.NoError(t, err)
	files[artifacts.ManifestName] = &fstest.MapFile{Data: data}
}

func problems(t *testing.T, err error) []artifacts.Problem {
	var refused *artifacts.Error
	require.ErrorAs(t, err, &refused)
	return refused.Problems
}

func TestVerifyAcceptsAModelThatObeysItsManifest(t *testing.T) {
	model, err := artifacts.Verify(folder(t, nil))
	require.NoError(t, err)
	assert.Equal(t, []artifacts.ItemEmbedding{{ID: "S10_1678", Vector: unit(0)}, {ID: "S18_2248", Vector: unit(1)}},
		model.Items)
	assert.Equal(t, []artifacts.UserEmbedding{{ID: 103, Vector: unit(2)}}, model.Users)
	require.Len(t, model.Manifest.Golden.User, 1)
	assert.Equal(t, "lyon", model.Manifest.Golden.User[0].Input["city"])
	assert.Len(t, model.Manifest.Golden.User[0].Output, models.Dimension)
}

func TestVerifyRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*artifacts.Manifest)
		then func(*testing.T, fstest.MapFS)
		file string
		text string
	}{
		"no manifest": {then: func(_ *testing.T, f fstest.MapFS) { delete(f, "manifest.json") },
			file: "manifest.json", text: "not readable"},
		"a broken manifest": {then: func(_ *testing.T, f fstest.MapFS) { f["manifest.json"].Data = []byte("{") },
			file: "manifest.json", text: "one JSON value"},
		"another version": {edit: func(m *artifacts.Manifest) { m.ModelVersion = "000000000000" },
			file: "manifest.json", text: "the files' hashes give"},
		"a changed file": {
			then: func(_ *testing.T, f fstest.MapFS) { f[artifacts.UserTower].Data = []byte("a Graph") },
			file: artifacts.UserTower, text: "has sha256",
		},
		"a file cut short": {then: func(_ *testing.T, f fstest.MapFS) { f[artifacts.UserTower].Data = []byte("a g") },
			file: artifacts.UserTower, text: "has 3 bytes, the manifest says 7"},
		"a missing file": {then: func(_ *testing.T, f fstest.MapFS) { delete(f, artifacts.ItemTower) },
			file: artifacts.ItemTower, text: "not readable"},
		"a missing CSV file": {then: func(_ *testing.T, f fstest.MapFS) { delete(f, artifacts.UserEmbeddings) },
			file: artifacts.UserEmbeddings, text: "not readable"},
		"a file too many": {then: func(_ *testing.T, f fstest.MapFS) { f["model/old.onnx"] = &fstest.MapFile{} },
			file: "model/old.onnx", text: "not listed"},
		"fewer rows": {edit: func(m *artifacts.Manifest) { m.Items.Rows = 3 }, file: artifacts.ItemEmbeddings,
			text: "has 2 rows, the manifest says 3"},
		"more customers": {edit: func(m *artifacts.Manifest) { m.Users.Rows = 0 }, file: artifacts.UserEmbeddings,
			text: "has 1 rows, the manifest says 0"},
		"an unknown favourite": {edit: func(m *artifacts.Manifest) { m.Popularity[1].ID = "S99" },
			file: "manifest.json", text: "popularity[1]: product S99"},
		"a vector of length 2": {then: func(t *testing.T, f fstest.MapFS) {
			vector := unit(0)
			vector[0] = 2
			f[artifacts.ItemEmbeddings].Data = csv(row("S10_1678", vector), row("S18_2248", unit(1)))
			reseal(t, f)
		}, file: artifacts.ItemEmbeddings, text: "the vector of S10_1678 has length 2.0000"},
		"NaN in a vector": {then: func(t *testing.T, f fstest.MapFS) {
			f[artifacts.ItemEmbeddings].Data = []byte(strings.Replace(string(csv(row("S10_1678", unit(0)))), "[1",
				"[NaN", 1))
			reseal(t, f)
		}, file: artifacts.ItemEmbeddings, text: "want a finite number"},
	} {
		t.Run(name, func(t *testing.T) {
			files := folder(t, test.edit)
			if test.then != nil {
				test.then(t, files)
			}
			_, err := artifacts.Verify(files)
			found := problems(t, err)
			require.Len(t, found, 1, "one cause, one problem")
			assert.Equal(t, test.file, found[0].File)
			assert.Contains(t, found[0].Reason, test.text)
		})
	}
}

func reseal(t *testing.T, files fstest.MapFS) {
	manifest, err := artifacts.DecodeManifest(files[artifacts.ManifestName].Data)
	require.NoError(t, err)
	seal(&manifest, files)
	writeManifest(t, manifest, files)
}

func TestVerifyNamesSeveralProblemsAtOnce(t *testing.T) {
	files := folder(t, nil)
	files[artifacts.UserTower].Data = []byte("x")
	files[artifacts.ItemEmbeddings].Data = csv("S1,[1]", "S2,[2]")
	_, err := artifacts.Verify(files)
	assert.Len(t, problems(t, err), 4)
}

func TestAdoptAcceptsTheCoursesFilesAlone(t *testing.T) {
	long := unit(0)
	long[1] = 3
	files := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: csv(row("S10_1678", long))},
		artifacts.UserEmbeddings: {Data: csv(row("103", long))},
	}
	manifest, err := artifacts.Adopt(files, []artifacts.Popular{{ID: "S10_1678", Score: 12}})
	require.NoError(t, err)
	assert.Equal(t, artifacts.EmbeddingsOnly, manifest.Mode)
	assert.Equal(t, artifacts.Trained, manifest.Origin, "a shipped model must not replace it")
	writeManifest(t, manifest, files)
	model, err := artifacts.Verify(files)
	require.NoError(t, err, "vectors need no unit length in this mode")
	assert.Equal(t, long, model.Users[0].Vector)
}

func TestAdoptRefuses(t *testing.T) {
	good := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: csv(row("S10_1678", unit(0)))},
		artifacts.UserEmbeddings: {Data: csv(row("103", unit(0)))},
	}
	_, err := artifacts.Adopt(good, []artifacts.Popular{{ID: "S99", Score: 1}})
	assert.ErrorContains(t, err, "product S99 is not in")
	_, err = artifacts.Adopt(good, []artifacts.Popular{{ID: "S10_1678", Score: 1}, {ID: "S10_1678", Score: 2}})
	assert.ErrorContains(t, err, "each product once")
	_, err = artifacts.Adopt(fstest.MapFS{artifacts.ItemEmbeddings: good[artifacts.ItemEmbeddings]}, nil)
	assert.ErrorContains(t, err, artifacts.UserEmbeddings)
}

func TestReadItemsRefusesWithFileLineAndReason(t *testing.T) {
	good := row("S1", unit(0))
	for name, test := range map[string]struct {
		text   string
		line   int
		reason string
	}{
		"no header":     {good + "\n", 1, "want the header id,embedding"},
		"an empty file": {"", 1, "want the header id,embedding"},
		"NaN": {"id,embedding\n" + good + "\n" + strings.Replace(row("S2", unit(0)), "[1", "[NaN", 1),
			3, `element 1: got "NaN", want a finite number`},
		"infinity":         {"id,embedding\n" + strings.Replace(good, "[1", "[-Inf", 1), 2, `got "-Inf"`},
		"beyond float32":   {"id,embedding\n" + strings.Replace(good, "[1", "[1e39", 1), 2, `got "1e39"`},
		"hexadecimal":      {"id,embedding\n" + strings.Replace(good, "[1", "[0x1p0", 1), 2, `got "0x1p0"`},
		"an empty element": {"id,embedding\n" + strings.Replace(good, "[1", "[", 1), 2, `element 1: got ""`},
		"31 dimensions": {"id,embedding\n" + strings.Replace(good, "[1,", "[", 1), 2,
			"embedding of 31 dimensions: want 32"},
		"33 dimensions": {"id,embedding\n" + strings.Replace(good, "[1,", "[1,0,", 1), 2,
			"embedding of 33 dimensions: want 32"},
		"no brackets":          {"id,embedding\n" + strings.Replace(good, "]", "", 1), 2, "in brackets"},
		"a doubled id":         {"id,embedding\n" + good + "\n\n" + good, 4, `id "S1": already on line 2`},
		"an empty id":          {"id,embedding\n" + row("", unit(0)), 2, `id "": want`},
		"an id with a space":   {"id,embedding\n" + row("S 1", unit(0)), 2, `id "S 1": want`},
		"UTF-16":               {"\xff\xfei\x00d\x00", 1, "it is UTF-16: write it as UTF-8"},
		"gzip":                 {"\x1f\x8b\x08\x00", 1, "it is compressed by gzip: unpack it"},
		"three fields":         {"id,embedding\n" + good + ",x", 2, "has 3 fields"},
		"cut within the quote": {"id,embedding\n" + good[:20], 2, "broken CSV (a truncated file?)"},
		"cut after the id":     {"id,embedding\n" + good + "\nS2", 3, "has 1 fields"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifacts.ReadItems(strings.NewReader(test.text), "items.csv")
			found := problems(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, "items.csv", found[0].File)
			assert.Equal(t, test.line, found[0].Line)
			assert.Contains(t, found[0].Reason, test.reason)
		})
	}
}

func TestAByteOrderMarkBeforeTheHeaderIsPassedOver(t *testing.T) {
	text := "\ufeff" + string(csv(row("7", unit(0))))
	items, err := artifacts.ReadItems(strings.NewReader(text), "items.csv")
	require.NoError(t, err)
	assert.Equal(t, "7", items[0].ID)
	users, err := artifacts.ReadUsers(strings.NewReader(text), "users.csv")
	require.NoError(t, err)
	assert.Equal(t, 7, users[0].ID)
}

func TestReadUsersRefusesIdsThatAreNoCustomerNumbers(t *testing.T) {
	for _, id := range []string{"-1", "2147483648", "1.5", "007", "S1", "+1"} {
		_, err := artifacts.ReadUsers(strings.NewReader(string(csv(row(id, unit(0))))), "users.csv")
		assert.ErrorContains(t, err, "users.csv:2: id", id)
	}
	users, err := artifacts.ReadUsers(strings.NewReader(string(csv(row("2147483647", unit(0))))), "users.csv")
	require.NoError(t, err)
	assert.Equal(t, 2147483647, users[0].ID)
}

func TestErrorNamesAtMostTwentyProblems(t *testing.T) {
	_, err := artifacts.ReadItems(strings.NewReader("id,embedding\n"+strings.Repeat("x,[]\n", 50)), "items.csv")
	var refused *artifacts.Error
	require.ErrorAs(t, err, &refused)
	assert.Len(t, refused.Problems, 20)
	assert.Equal(t, 30, refused.More)
	assert.ErrorContains(t, err, "and 30 more")
}

func FuzzReadItems(f *testing.F) {
	f.Add(string(csv(row("S1", unit(0)), row("S2", unit(3)))))
	f.Add("id,embedding\nS1,\"[1, 2")
	f.Add("id,embedding\nS1,\"[" + strings.Repeat("-1.5e-3, ", 31) + "NaN]\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		items, err := artifacts.ReadItems(strings.NewReader(text), "items.csv")
		if err != nil {
			return
		}
		var again strings.Builder
		again.WriteString("id,embedding\n")
		for _, item := range items {
			fmt.Fprintf(&again, "\"%s\",%q\n", strings.ReplaceAll(item.ID, `"`, `""`),
				artifacts.FormatVector(item.Vector))
		}
		reread, err := artifacts.ReadItems(strings.NewReader(again.String()), "items.csv")
		require.NoError(t, err)
		require.Equal(t, items, reread)
	})
}

func TestManifestErrorsKeepTheirType(t *testing.T) {
	_, err := artifacts.DecodeManifest([]byte(`{}`))
	var invalid *strictjson.Error
	require.ErrorAs(t, err, &invalid)
	assert.Greater(t, len(invalid.Violations), 10, "all violations at once")
}

func TestEncodeWritesWhatTheSchemaAccepts(t *testing.T) {
	suite := contracts.Load(t, suiteName)
	for _, name := range []string{"towers", "refreshed", "embeddings_only"} {
		manifest, err := artifacts.DecodeManifest(suite.Example(t, name))
		require.NoError(t, err)
		data, err := manifest.Encode()
		require.NoError(t, err)
		require.True(t, json.Valid(data))
		assert.NoError(t, suite.SchemaError(data), name)
	}
}
