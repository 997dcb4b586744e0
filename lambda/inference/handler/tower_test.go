package handler

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
	"diecast/internal/artifacts"
	"diecast/internal/embeddings"
	"diecast/internal/inference"
	"diecast/internal/models"
	"diecast/internal/models/modelstore/modelstoretest"
	"diecast/internal/recommendation"
)

// The tower and its golden vectors were made by ONNX Runtime: see testdata/make_tower.py.
func towerFile(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile("testdata/user_tower.onnx")
	require.NoError(t, err)
	return file
}

func goldenValues(t testing.TB) []artifacts.GoldenValue {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	var values []artifacts.GoldenValue
	require.NoError(t, json.Unmarshal(text, &values))
	return values
}

// towers makes a model with towers: 20 items, 5 users, and the user tower of testdata.
func towers(t testing.TB, seed uint64) (fstest.MapFS, artifacts.Manifest) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	lines := func(count int, id string) []byte {
		text := "id,embedding\n"
		for i := range count {
			vector := make([]float32, models.Dimension)
			vector[random.IntN(16)], vector[16+random.IntN(16)] = 0.6, 0.8
			text += fmt.Sprintf(id+",\"%s\"\n", i, artifacts.FormatVector(vector))
		}
		return []byte(text)
	}
	folder := fstest.MapFS{
		artifacts.ItemEmbeddings: {Data: lines(20, "P_%03d")},
		artifacts.UserEmbeddings: {Data: lines(5, "10%d")},
		artifacts.UserTower:      {Data: towerFile(t)},
		artifacts.ItemTower:      {Data: []byte("never read by inference")},
	}
	files := map[string]artifacts.File{}
	for name, file := range folder {
		sum := sha256.Sum256(file.Data)
		files[name] = artifacts.File{SHA256: hex.EncodeToString(sum[:]), Bytes: int64(len(file.Data))}
	}
	item := artifacts.GoldenValue{
		Input: map[string]any{"product_line": "ships", "product_scale": "1:700", "quantity_in_stock": 1.0,
			"buy_price": 1.0, "msrp": 1.0},
		Output: make([]float64, models.Dimension),
	}
	return folder, artifacts.Manifest{
		SchemaVersion: 1, ModelVersion: artifacts.Version(files), Mode: artifacts.Towers, Dimension: models.Dimension,
		Metric: artifacts.Metric, Files: files, Items: artifacts.Count{Rows: 20}, Users: artifacts.Count{Rows: 5},
		Origin: artifacts.Trained,
		Towers: &artifacts.TowerPair{
			User: artifacts.Tower{Path: artifacts.UserTower, Inputs: artifacts.UserInputs(), Output: "embedding"},
			Item: artifacts.Tower{Path: artifacts.ItemTower, Inputs: artifacts.ItemInputs(), Output: "embedding"},
		},
		Training: &artifacts.Training{RunID: "run", Strategy: "replace", Rows: 100, Seed: 1,
			CreatedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		Metrics: map[string]float64{},
		Golden:  &artifacts.Golden{Tolerance: 1e-5, User: goldenValues(t), Item: []artifacts.GoldenValue{item}},
		Popularity: []artifacts.Popular{
			{ID: "P_000", Score: 2}, {ID: "P_001", Score: 1},
		},
	}
}

func (p *platform) loadTowers(t testing.TB, folder fstest.MapFS, manifest artifacts.Manifest) {
	t.Helper()
	p.objects.Put(t, folder, manifest)
	_, err := p.owner.Load(t.Context(), embeddings.Model{
		Version: manifest.ModelVersion, Origin: embeddings.Trained, Towers: true,
		Items:     strings.NewReader(string(folder[artifacts.ItemEmbeddings].Data)),
		Users:     strings.NewReader(string(folder[artifacts.UserEmbeddings].Data)),
		ItemCount: 20, UserCount: 5,
	}, embeddings.Switch)
	require.NoError(t, err)
}

func TestTowerReproducesTheGoldenVectorsInAnyBatch(t *testing.T) {
	_, manifest := towers(t, 1)
	tower, err := newTower(towerFile(t), manifest)
	require.NoError(t, err)
	users := []activity.Features{{City: "nantes", Country: "france", CreditLimit: 21000}, {},
		{City: "las vegas", Country: "usa", CreditLimit: 71800}}
	together, err := tower.users(users)
	require.NoError(t, err)
	for i, user := range users {
		alone, err := tower.users([]activity.Features{user})
		require.NoError(t, err)
		assert.Equal(t, alone[0], together[i], "a user's vector does not depend on its neighbours")
	}
	for i, want := range goldenValues(t)[0].Output {
		assert.InDelta(t, want, together[0][i], 1e-5)
	}
}

func TestTowerThatDiffersFromItsManifestIsRefused(t *testing.T) {
	tests := map[string]struct {
		change  func(*artifacts.Manifest)
		message string
	}{
		"another golden vector": {func(m *artifacts.Manifest) { m.Golden.User[1].Output[4] += 0.001 },
			"golden vector 1 differs by 0.001"},
		"another output": {func(m *artifacts.Manifest) { m.Towers.User.Output = "vector" },
			"output vector is missing"},
		"a missing input": {func(m *artifacts.Manifest) { m.Towers.User.Inputs = m.Towers.User.Inputs[:2] },
			"input credit_limit is unknown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, manifest := towers(t, 1)
			test.change(&manifest)
			_, err := newTower(towerFile(t), manifest)
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestEveryCustomerIsServedByTheTower(t *testing.T) {
	p := newPlatform(t)
	folder, manifest := towers(t, 1)
	p.loadTowers(t, folder, manifest)
	stranger := event(99999, []string{"P_003"}, nil)
	stranger.City, stranger.Country = "  NANTES ", "France"
	answer, err := p.ask(t, inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{stranger,
		event(100, nil, nil)}})
	require.NoError(t, err)
	assert.False(t, answer.Results[0].Rung.Degraded())
	assert.Len(t, answer.Results[0].Items, 5)

	items, err := artifacts.ReadItems(strings.NewReader(string(folder[artifacts.ItemEmbeddings].Data)),
		artifacts.ItemEmbeddings)
	require.NoError(t, err)
	vectors := map[string]embeddings.Vector{}
	for _, item := range items {
		vectors[item.ID] = item.Vector
	}
	user := embeddings.Vector{}
	for _, value := range goldenValues(t)[0].Output {
		user = append(user, float32(value))
	}
	want, err := embeddings.NewExact(len(vectors), maps.All(vectors)).Nearest(t.Context(), embeddings.Query{
		Users: []embeddings.User{{Vector: user, Excluded: stranger.Cart}}, ItemsPerUser: 5,
	})
	require.NoError(t, err)
	for i, item := range answer.Results[0].Items {
		assert.InDelta(t, want.Users[0][i].Score, item.Score, 1e-5)
	}
}

func TestTheCoursesThreeCallsAgreeWithTheBatch(t *testing.T) {
	p := newPlatform(t)
	folder, manifest := towers(t, 1)
	p.loadTowers(t, folder, manifest)
	response := p.http(t, http.MethodPost, "/user_embeddings",
		`[{"city":"Nantes","country":"France","creditlimit":21000}]`, nil)
	require.Equal(t, http.StatusOK, response.StatusCode, response.Body)
	vectors, err := inference.DecodeVectors([]byte(response.Body))
	require.NoError(t, err)
	body, err := json.Marshal(vectors[0])
	require.NoError(t, err)
	response = p.http(t, http.MethodPost, "/items_from_user", string(body), map[string]string{"limit": "5"})
	items, err := inference.DecodeItems([]byte(response.Body))
	require.NoError(t, err)
	answer, err := p.ask(t, inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(7, nil, nil)}})
	require.NoError(t, err)
	assert.Equal(t, answer.Results[0].Items, items)
}

func TestDamagedTowerIsRefused(t *testing.T) {
	p := newPlatform(t)
	folder, manifest := towers(t, 1)
	p.loadTowers(t, folder, manifest)
	damaged := append([]byte{}, folder[artifacts.UserTower].Data...)
	damaged[len(damaged)/2] ^= 1
	p.objects.Change(manifest.ModelVersion, artifacts.UserTower, damaged)
	_, err := p.ask(t, inference.BatchRequest{Limit: 5, Events: []inference.BatchEvent{event(7, nil, nil)}})
	require.ErrorContains(t, err, "model/user_tower.onnx: sha256 is")
}

// A manifest is no part of a model's version: what a refresh ranked counts as its file has it.
func TestTheRankingIsReadFromItsFile(t *testing.T) {
	objects := modelstoretest.New()
	folder, manifest := towers(t, 1)
	text := artifacts.FormatPopularity([]artifacts.Popular{{ID: "P_007", Score: 0.5}})
	folder[artifacts.PopularityFile] = &fstest.MapFile{Data: text}
	sum := sha256.Sum256(text)
	manifest.Files[artifacts.PopularityFile] = artifacts.File{SHA256: hex.EncodeToString(sum[:]),
		Bytes: int64(len(text))}
	manifest.ModelVersion = artifacts.Version(manifest.Files)
	version := objects.Put(t, folder, manifest)
	loaded, err := loadModel(t.Context(), objects.Bucket(), version, leastMemory<<20)
	require.NoError(t, err)
	assert.Equal(t, []recommendation.Item{{ID: "P_007", Score: 0.5}}, loaded.ranking.Items)

	objects.Change(version, artifacts.PopularityFile, append(text, "P_008,0.4\n"...))
	_, err = loadModel(t.Context(), objects.Bucket(), version, leastMemory<<20)
	require.ErrorContains(t, err, artifacts.PopularityFile)
}
