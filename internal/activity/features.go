package activity

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
)

// Features are what a user tower reads of an event.
type Features struct {
	// City and Country are normalised; empty and unknown ones are legal.
	City, Country string
	// CreditLimit is as sent.
	CreditLimit float64
}

// Features are the event's features, normalised as the trainer normalises its training data.
func (e Event) Features() Features {
	return Features{City: Normalise(e.City), Country: Normalise(e.Country), CreditLimit: e.CreditLimit}
}

// Normalise trims white space and folds case, as Python's str.strip().casefold() does: the trainer
// is Python, and a category that the two spell differently would be an unknown one. Features only;
// records keep what was sent.
func Normalise(text string) string {
	return strings.Map(foldCherokee, cases.Fold().String(strings.TrimFunc(text, isSpace)))
}

// foldCherokee corrects golang.org/x/text, which folds Cherokee capitals to small letters. They
// were encoded long before the small ones and fold to themselves (Unicode, CaseFolding.txt). Small
// letters that are left after x/text come from capitals only: it folds the small ones rightly.
func foldCherokee(r rune) rune {
	switch {
	case 0xAB70 <= r && r <= 0xABBF:
		return r - 0xAB70 + 0x13A0
	case 0x13F8 <= r && r <= 0x13FD:
		return r - 0x13F8 + 0x13F0
	}
	return r
}

// isSpace is Python's str.isspace: Unicode's white space, and the four information separators.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1C <= r && r <= 0x1F }

// Cart are the codes of the products in the shopping cart, each once, in the event's order. A
// product that is also listed as merely browsed is in the cart.
func (e Event) Cart() []string {
	return e.products(func(entry Browse) bool { return entry.InShoppingCart }, nil)
}

// Browsed are the codes of the products looked at but not in the cart, each once, in the event's
// order.
func (e Event) Browsed() []string {
	return e.products(func(entry Browse) bool { return !entry.InShoppingCart }, e.Cart())
}

// Products are the products for which similar items are looked up: those of the cart first, then
// those browsed, at most MaxProducts.
func (e Event) Products() []string {
	products := append(e.Cart(), e.Browsed()...)
	return products[:min(len(products), MaxProducts)]
}

func (e Event) products(wanted func(Browse) bool, except []string) []string {
	seen := make(map[string]bool, len(e.BrowseHistory))
	for _, code := range except {
		seen[code] = true
	}
	var codes []string
	for _, entry := range e.BrowseHistory {
		if wanted(entry) && !seen[entry.ProductCode] {
			seen[entry.ProductCode] = true
			codes = append(codes, entry.ProductCode)
		}
	}
	return codes
}
