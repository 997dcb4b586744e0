package refresh

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"diecast/internal/artifacts"
)

const (
	// prior is how many ratings at the mean of all every product starts with, so that one lucky
	// rating makes no favourite; training/evaluation.py has the same.
	prior = 10
	// parts of a star are counted in whole numbers: sums are then the same in any order of rows.
	parts = 1e9
	// A score has six decimals, as the trainer writes it.
	scoreDecimals = 1e6
)

// Rank ranks products by a run's ratings: the mean rating of each, pulled to the mean of all by
// prior ratings, brought from 1..5 to 0..1, best first, equal ones by code, at most
// artifacts.MaxPopularity. Ratings of other products count for the mean of all.
func Rank(ctx context.Context, run Run, products []string) ([]artifacts.Popular, error) {
	type sum struct{ stars, count int64 }
	of := make(map[string]*sum, len(products))
	for _, code := range products {
		of[code] = &sum{}
	}
	var all sum
	for row, err := range run.Rows(ctx, "ratings", "productCode", "productRating") {
		if err != nil {
			return nil, err
		}
		rating, err := strconv.ParseFloat(row.Values[1], 64)
		if err != nil || !(rating >= 1 && rating <= 5) || strings.ContainsAny(row.Values[1], "xX_") {
			return nil, fmt.Errorf("%s: productRating %.40q: want a number from 1 to 5", row.Place(), row.Values[1])
		}
		stars := int64(math.Round(rating * parts))
		all.stars, all.count = all.stars+stars, all.count+1
		if product := of[row.Values[0]]; product != nil {
			product.stars, product.count = product.stars+stars, product.count+1
		}
	}
	mean := 3.0 // without a rating there is none that is better
	if all.count > 0 {
		mean = float64(all.stars) / parts / float64(all.count)
	}
	ranking := make([]artifacts.Popular, 0, len(products))
	for code, sum := range of {
		rating := (float64(sum.stars)/parts + prior*mean) / float64(sum.count+prior)
		ranking = append(ranking, artifacts.Popular{ID: code, Score: (rating - 1) / 4})
	}
	slices.SortFunc(ranking, func(a, b artifacts.Popular) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	ranking = ranking[:min(len(ranking), artifacts.MaxPopularity)]
	for i := range ranking {
		ranking[i].Score = math.RoundToEven(ranking[i].Score*scoreDecimals) / scoreDecimals
	}
	return ranking, nil
}
