package classicmodels

import (
	"context"
	"path"
	"time"
)

// TruthFolder is where a generated source's latent preferences lie.
const TruthFolder = "truth"

// truthSchema: affinity = line taste + scale taste + priceTaste x priceLevel, each weighted
// already.
var truthSchema = func() []*Table {
	preferences := &Table{Name: "preferences", Columns: []Column{integer("customerNumber"), integer("market")}}
	for _, line := range productLines {
		preferences.Columns = append(preferences.Columns, Column{Name: line.name})
	}
	for _, scale := range productScales {
		preferences.Columns = append(preferences.Columns, Column{Name: scale})
	}
	preferences.Columns = append(preferences.Columns, Column{Name: "priceTaste"})
	return []*Table{
		preferences,
		{Name: "product_traits", Columns: []Column{{Name: "productCode"}, {Name: "productLine"}, {Name: "productScale"},
			{Name: "priceLevel"}}},
		{Name: "expected_ratings", Columns: []Column{{Name: "customerNumber"}, {Name: "productCode"},
			{Name: "affinity"}, {Name: "expectedRating"}}},
		{Name: "spikes", Columns: []Column{date("orderDate")}},
	}
}()

// WriteTruth writes what was planted, for tests of a recommender, as CSV below truth/: preferences
// (per customer the liking of each line and each scale and the taste for expensive products),
// product_traits (line, scale, price level), expected_ratings (affinity and mean rating of each
// rated pair), and spikes (the days on which a demand spike begins). All but the ratings and the
// days are in standard deviations of the affinity, which for any pair is the liking of the line,
// plus the liking of the scale, plus priceTaste times priceLevel, to within 0.005 of rounding.
func WriteTruth(ctx context.Context, shop *Shop, create Create) ([]File, error) {
	return writeTables(ctx, truthSchema, shop.scanTruth, create, time.DateTime, func(table string) string {
		return path.Join(TruthFolder, table+".csv")
	})
}

func (s *Shop) scanTruth(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	preferences, traits, expected, spikes := truthSchema[0], truthSchema[1], truthSchema[2], truthSchema[3]
	for index := range s.catalogue() {
		p := s.productTraits(index)
		v.rowOf(traits, []Value{
			TextValue(p.code()), TextValue(productLines[p.line].name), TextValue(productScales[p.scale]),
			thousandths(standardised(p.priceRank)),
		})
	}
	for index := 0; index < s.blocks() && v.err == nil; index++ {
		from, to := s.share(customersPerBlock, index)
		for customer := from; customer < to; customer++ {
			c := s.customerTraits(customer)
			market := c.place().market()
			row := []Value{IntegerValue(c.number()), IntegerValue(market)}
			for _, liking := range s.tastes[market].lines {
				row = append(row, thousandths(lineWeight*liking/unit))
			}
			for _, liking := range s.tastes[market].scales {
				row = append(row, thousandths(scaleWeight*liking/unit))
			}
			v.rowOf(preferences, append(row, thousandths(priceWeight*standardised(c.creditRank)/unit)))
		}
		for _, r := range s.block(index).ratings {
			c, p := s.customerTraits(r.customer), s.productTraits(r.product)
			affinity := s.affinity(c, p)
			v.rowOf(expected, []Value{
				IntegerValue(c.number()), TextValue(p.code()), thousandths(affinity),
				tenThousandths(s.expectedRating(affinity)),
			})
		}
	}
	for _, day := range s.spikes() {
		v.rowOf(spikes, []Value{DateValue(dayTime(day))})
	}
	return v.err
}

func thousandths(n int64) Value    { return fraction(n, 3) }
func tenThousandths(n int64) Value { return fraction(n, 4) }

// fraction prints n / 10^digits.
func fraction(n int64, digits int) Value {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	text := itoa(int(n))
	for len(text) <= digits {
		text = "0" + text
	}
	return TextValue(sign + text[:len(text)-digits] + "." + text[len(text)-digits:])
}
