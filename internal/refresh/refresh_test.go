package refresh_test

import (
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/artifacts"
	"diecast/internal/refresh"
	"diecast/internal/trainingset/publishedrun"
	"diecast/internal/trainingset/publishedrun/publishedruntest"
	shipped "diecast/training/artifacts"
)

// base is the shipped model.
func base(t testing.TB) refresh.Folder {
	t.Helper()
	folder, _, err := shipped.Model()
	require.NoError(t, err)
	model, err := artifacts.Verify(folder)
	require.NoError(t, err)
	return refresh.Folder{Files: folder, Manifest: model.Manifest}
}

type made struct {
	refresh.Made
	files fs.FS
	model artifacts.Model
}

// over refreshes the shipped model over a set, and verifies what came of it.
func over(t testing.TB, set *publishedruntest.Set) (made, error) {
	t.Helper()
	lake := publishedruntest.NewLake()
	set.Publish(t, lake)
	run, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, "")
	require.NoError(t, err)
	into := t.TempDir()
	done, err := refresh.Make(t.Context(), base(t), run, artifacts.Refresh{
		BaseModelVersion: base(t).Manifest.ModelVersion, RunID: set.RunID, CreatedAt: set.CreatedAt,
		Lake: publishedruntest.Bucket,
	}, into)
	if err != nil {
		return made{}, err
	}
	model, err := artifacts.Verify(os.DirFS(into))
	require.NoError(t, err, "what is written keeps the contract")
	return made{done, os.DirFS(into), model}, nil
}

// The run that the shipped model was trained on gives that model again: vectors as near as the
// towers' golden ones, and the very ranking.
func TestTheTrainingsOwnRunChangesNothing(t *testing.T) {
	found, err := over(t, publishedruntest.Sample(t, 1, 0))
	require.NoError(t, err)
	figures, err := refresh.Compare(found.Made, found.files, base(t))
	require.NoError(t, err)
	assert.True(t, figures.Unchanged)
	assert.Equal(t, []int{110, 110, 110, 110, 0, 0}, []int{figures.Catalogue, figures.Items, figures.Previous,
		figures.Kept, figures.Added, figures.Vanished})
	assert.Equal(t, base(t).Manifest.Popularity, found.Manifest.Popularity)
	assert.Empty(t, found.Reasons)
	assert.Less(t, figures.LengthError, 1e-6)
}

func TestTheModelFollowsTheCatalogue(t *testing.T) {
	set := publishedruntest.Sample(t, 1, 0)
	products := set.Tables["products"]
	gone := products[0][0]
	added := slices.Clone(products[1])
	added[0] = "NEW_1"
	set.Tables["products"] = append(products[1:], added)
	found, err := over(t, set)
	require.NoError(t, err)

	var codes, ranked []string
	for _, item := range found.model.Items {
		codes = append(codes, item.ID)
	}
	for _, product := range found.Manifest.Popularity {
		ranked = append(ranked, product.ID)
	}
	for _, all := range [][]string{codes, ranked} {
		assert.Len(t, all, 110)
		assert.Contains(t, all, "NEW_1")
		assert.NotContains(t, all, gone)
	}
	assert.True(t, slices.IsSorted(codes))
	vector := func(code string) []float32 {
		return found.model.Items[slices.Index(codes, code)].Vector
	}
	assert.Equal(t, vector(products[1][0]), vector("NEW_1"), "the same features are the same vector")
	place := slices.Index(ranked, "NEW_1")
	assert.True(t, 0 < place && place < len(ranked)-1, "an unrated product has the mean of all")

	manifest := found.Manifest
	assert.Equal(t, &artifacts.Refresh{BaseModelVersion: base(t).Manifest.ModelVersion, RunID: set.RunID,
		CreatedAt: set.CreatedAt, Lake: publishedruntest.Bucket}, manifest.Refresh)
	assert.Equal(t, base(t).Manifest.Files[artifacts.ItemTower], manifest.Files[artifacts.ItemTower])
	assert.Equal(t, base(t).Manifest.Files["scalers/user.json"], manifest.Files["scalers/user.json"])
	assert.Equal(t, base(t).Manifest.Training, manifest.Training)
	figures, err := refresh.Compare(found.Made, found.files, base(t))
	require.NoError(t, err)
	assert.Equal(t, []int{109, 1, 1}, []int{figures.Kept, figures.Added, figures.Vanished})
	assert.False(t, figures.Unchanged)
}

// A rating more makes another ranking, which the version covers.
func TestRatingsAloneMakeAnotherVersion(t *testing.T) {
	set := publishedruntest.Sample(t, 1, 0)
	before, err := over(t, set)
	require.NoError(t, err)
	ratings := set.Tables["ratings"]
	for range 30 {
		again := slices.Clone(ratings[0])
		again[publishedruntest.Column(t, "ratings", "productRating")] = "5"
		ratings = append(ratings, again)
	}
	set.Tables["ratings"] = ratings
	after, err := over(t, set)
	require.NoError(t, err)
	assert.NotEqual(t, before.Manifest.ModelVersion, after.Manifest.ModelVersion)
	assert.Equal(t, before.Manifest.Files[artifacts.ItemEmbeddings], after.Manifest.Files[artifacts.ItemEmbeddings])
}

func TestTheVersionIsThatOfTheContent(t *testing.T) {
	set := publishedruntest.Sample(t, 0.5, 0)
	first, err := over(t, set)
	require.NoError(t, err)
	set.Files, set.RunID, set.CreatedAt = 4, "the-next-day", set.CreatedAt.Add(24*time.Hour)
	for _, rows := range set.Tables {
		slices.Reverse(rows)
	}
	second, err := over(t, set)
	require.NoError(t, err)
	assert.Equal(t, first.Manifest.ModelVersion, second.Manifest.ModelVersion,
		"another run, in other files, in another order")
}

// Means over time are no whole numbers.
func TestRankingIsOfAnyOrder(t *testing.T) {
	set := publishedruntest.Sample(t, 0.5, 0)
	rating := publishedruntest.Column(t, "ratings", "productRating")
	for i, row := range set.Tables["ratings"] {
		row[rating] = strconv.FormatFloat(1+math.Mod(float64(i)*0.37, 4), 'g', -1, 64)
	}
	one := ranked(t, set)
	slices.Reverse(set.Tables["ratings"])
	assert.Equal(t, one, ranked(t, set))
}

func ranked(t *testing.T, set *publishedruntest.Set) []artifacts.Popular {
	t.Helper()
	lake := publishedruntest.NewLake()
	set.Publish(t, lake)
	run, err := publishedrun.Open(t.Context(), lake, publishedruntest.Bucket, "")
	require.NoError(t, err)
	var codes []string
	for _, row := range set.Tables["products"] {
		codes = append(codes, row[0])
	}
	ranking, err := refresh.Rank(t.Context(), run, codes)
	require.NoError(t, err)
	return ranking
}

func TestBadRunsAreRefusedByFileAndRow(t *testing.T) {
	cell := func(table string, row int, column, value string) func(*testing.T, *publishedruntest.Set) {
		return func(t *testing.T, set *publishedruntest.Set) {
			set.Tables[table][row][publishedruntest.Column(t, table, column)] = value
		}
	}
	for name, test := range map[string]struct {
		change  func(*testing.T, *publishedruntest.Set)
		message string
	}{
		"no products": {func(_ *testing.T, set *publishedruntest.Set) { set.Tables["products"] = nil },
			"the run has no products"},
		"a product twice": {func(_ *testing.T, set *publishedruntest.Set) {
			set.Tables["products"][3][0] = set.Tables["products"][1][0]
		}, "products/part-00000.csv, row 4: id "},
		"a customer twice": {func(_ *testing.T, set *publishedruntest.Set) {
			set.Tables["customers"][3][0] = set.Tables["customers"][1][0]
		}, "customers/part-00000.csv, row 4: id "},
		"a price that is NaN": {cell("products", 2, "buyPrice", "NaN"),
			`products/part-00000.csv, row 3: buyPrice "NaN": want a finite number`},
		"a price beyond float32":    {cell("products", 2, "MSRP", "1e39"), `MSRP "1e39": want a finite number`},
		"a limit that is none":      {cell("customers", 0, "creditLimit", "much"), `creditLimit "much"`},
		"a customer that is none":   {cell("customers", 0, "customerNumber", "-1"), `customerNumber "-1"`},
		"a rating beyond its scale": {cell("ratings", 5, "productRating", "6"), `row 6: productRating "6"`},
		"a rating that is NaN":      {cell("ratings", 5, "productRating", "NaN"), `row 6: productRating "NaN"`},
		"no product that can be embedded": {func(_ *testing.T, set *publishedruntest.Set) {
			for _, row := range set.Tables["products"] {
				row[0] = "a b"
			}
		}, "no vector can be made of any of the run's"},
	} {
		t.Run(name, func(t *testing.T) {
			set := publishedruntest.Sample(t, 0.1, 0)
			test.change(t, set)
			_, err := over(t, set)
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestRowsWithoutAVectorAreLeftOutAndTold(t *testing.T) {
	set := publishedruntest.Sample(t, 0.1, 0)
	set.Tables["products"][0][0] = "with space"
	set.Tables["products"][1][publishedruntest.Column(t, "products", "MSRP")] = ""
	set.Tables["products"][2][publishedruntest.Column(t, "products", "productLine")] = ""
	set.Tables["customers"][0][publishedruntest.Column(t, "customers", "creditLimit")] = ""
	found, err := over(t, set)
	require.NoError(t, err)
	assert.Equal(t, 2, found.Left)
	assert.Equal(t, found.Catalogue-2, len(found.model.Items), "a text that is absent is unknown, as in training")
	assert.Zero(t, found.LeftCustomers, "the mean of the training stands for a limit that is not known")
	require.Len(t, found.Reasons, 2)
	assert.Contains(t, found.Reasons[0], `row 1: productCode "with space": want 1 to 64`)
	assert.Contains(t, found.Reasons[1], "has no MSRP")
}

func TestEmbeddingsAloneCannotBeRefreshed(t *testing.T) {
	folder := base(t)
	folder.Manifest.Mode = artifacts.EmbeddingsOnly
	_, err := refresh.Make(t.Context(), folder, publishedrun.Run{}, artifacts.Refresh{}, t.TempDir())
	require.ErrorContains(t, err, "has embeddings only, no towers to refresh it with")
}

func TestEachLimitHasItsBreach(t *testing.T) {
	limits := refresh.Limits{CatalogueOverlap: 0.99, PreviousOverlap: 0.5, Vanished: 0.2, LengthError: 1e-3}
	fine := refresh.Figures{Catalogue: 100, Items: 100, Previous: 100, Kept: 90, Added: 10, Vanished: 10,
		LengthError: 1e-7}
	assert.Empty(t, limits.Check(fine))
	for key, change := range map[string]func(*refresh.Figures){
		"vectors.minCatalogueOverlap": func(f *refresh.Figures) { f.Catalogue = 102 },
		"vectors.minPreviousOverlap":  func(f *refresh.Figures) { f.Items = 181 },
		"vectors.maxVanished":         func(f *refresh.Figures) { f.Vanished = 21 },
		"vectors.lengthTolerance":     func(f *refresh.Figures) { f.LengthError = 0.002 },
	} {
		figures := fine
		change(&figures)
		breaches := limits.Check(figures)
		require.Len(t, breaches, 1, key)
		assert.Contains(t, breaches[0], key)
	}
	another := refresh.Figures{Catalogue: 5, Items: 5, Previous: 110, Added: 5, Vanished: 110, AnotherShop: true}
	assert.Empty(t, limits.Check(another), "the sample's products are none of this shop's")
	another.AnotherShop = false
	assert.Len(t, limits.Check(another), 2)
}

func TestTheSampleIsAnotherShopOnlyWhereNothingIsInCommon(t *testing.T) {
	set := publishedruntest.Sample(t, 0.1, 0)
	for i, row := range set.Tables["products"] {
		row[0] = "X" + strconv.Itoa(i)
	}
	found, err := over(t, set)
	require.NoError(t, err)
	figures, err := refresh.Compare(found.Made, found.files, base(t))
	require.NoError(t, err)
	assert.True(t, figures.AnotherShop)
	trained := base(t)
	trained.Manifest.Origin = artifacts.Trained
	figures, err = refresh.Compare(found.Made, found.files, trained)
	require.NoError(t, err)
	assert.False(t, figures.AnotherShop, "a model of the user's own was made for this shop")
}

func TestWithoutRatingsNoneIsBetter(t *testing.T) {
	set := publishedruntest.Sample(t, 0.1, 0)
	set.Tables["ratings"] = nil
	ranking := ranked(t, set)
	byCode := func(a, b artifacts.Popular) int { return strings.Compare(a.ID, b.ID) }
	assert.True(t, slices.IsSortedFunc(ranking, byCode))
	for _, product := range ranking {
		assert.InDelta(t, 0.5, product.Score, 0)
	}
}

// Files in any order are compared alike.
func TestFiguresAreThoseOfAnyOrder(t *testing.T) {
	set := publishedruntest.Sample(t, 1, 0)
	products := set.Tables["products"]
	added := slices.Clone(products[5])
	added[0] = "0"
	set.Tables["products"] = append(products[3:], added)
	set.Tables["customers"] = set.Tables["customers"][1:]
	found, err := over(t, set)
	require.NoError(t, err)
	want, err := refresh.Compare(found.Made, found.files, base(t))
	require.NoError(t, err)
	assert.Equal(t, []int{107, 1, 3}, []int{want.Kept, want.Added, want.Vanished})
	folder := t.TempDir()
	require.NoError(t, os.CopyFS(folder, base(t).Files))
	for _, name := range []string{artifacts.ItemEmbeddings, artifacts.UserEmbeddings} {
		text, err := fs.ReadFile(base(t).Files, name)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		slices.Reverse(lines[1:])
		require.NoError(t, os.Remove(folder+"/"+name))
		require.NoError(t, os.WriteFile(folder+"/"+name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	}
	got, err := refresh.Compare(found.Made, found.files, refresh.Folder{Files: os.DirFS(folder),
		Manifest: base(t).Manifest})
	require.NoError(t, err)
	assert.Equal(t, want, got)
}
