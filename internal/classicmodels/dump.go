package classicmodels

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"diecast/internal/classicmodels/sqldump"
)

// maxProblems is how many bad values are reported before the rest is left unread.
const maxProblems = 20

// Difference between a dump's schema and the expected one.
type Difference struct {
	Table string `json:"table"`
	// Column is empty where the table itself differs.
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	// Fatal differences make the dump unusable; the others are worth knowing.
	Fatal bool `json:"fatal"`
}

// String is "table customers, column city: reason".
func (d Difference) String() string {
	if d.Column == "" {
		return fmt.Sprintf("table %s: %s", d.Table, d.Reason)
	}
	return fmt.Sprintf("table %s, column %s: %s", d.Table, d.Column, d.Reason)
}

// RatingsOrigin says where a dump's ratings come from.
type RatingsOrigin string

// Where ratings come from.
const (
	RatingsGiven   RatingsOrigin = "given"         // the dump's own, with ratedAt
	RatingsUndated RatingsOrigin = "given-undated" // the dump's own, as the course has them: dated by the source's Now
	RatingsDerived RatingsOrigin = "derived"       // from the orders; see ReadDump
)

// Dump is a classicmodels database read from a file, held in memory.
type Dump struct {
	name        string
	digest      string
	rows        map[*Table][][]Value
	ratings     RatingsOrigin
	differences []Difference
	now         time.Time
}

var _ Source = (*Dump)(nil)

// ReadDump reads and checks a dump of classicmodels, as mysqldump writes it, in UTF-8 or latin1. The name is for messages.
//
// The error joins all that is wrong: schema differences that cannot be worked with, values that their column cannot hold
// (*sqldump.Error, with file and line; at most 20), keys that are double or refer to nothing.
//
// Without a table ratings, every (customer, product) pair that was ordered gets a rating: a customer's pairs are ranked by
// how often and how much of the product was ordered, and the ranks are cut into 1 to 5 by the shares that the course's
// ratings have; it is dated by the pair's last order. Such ratings are marked as derived in the origin.
func ReadDump(ctx context.Context, name string, source io.Reader) (*Dump, error) {
	digest := sha256.New()
	r := &dumpReader{ctx: ctx, name: name, found: map[string]*foundTable{}}
	err := sqldump.Read(name, io.TeeReader(source, digest), sqldump.Handler{Table: r.table, Row: r.row})
	if err != nil && !errors.Is(err, errTooMany) {
		r.problems = append(r.problems, err) // what was found before stays worth telling
		return nil, errors.Join(r.problems...)
	}
	d := &Dump{name: filepath.Base(name), rows: map[*Table][][]Value{}, digest: hex.EncodeToString(digest.Sum(nil))}
	d.differences = r.differences()
	for _, difference := range d.differences {
		if difference.Fatal {
			r.problems = append(r.problems, fmt.Errorf("%s: %s", name, difference))
		}
	}
	if err := errors.Join(r.problems...); err != nil {
		return nil, err
	}
	for _, table := range Schema {
		if found := r.found[strings.ToLower(table.Name)]; found != nil {
			d.rows[table] = found.rows
		}
	}
	if err := d.checkKeys(); err != nil {
		return nil, err
	}
	d.complete(r.found[Ratings])
	return d, nil
}

// errTooMany ends the reading.
var errTooMany = errors.New("too many problems")

type dumpReader struct {
	ctx      context.Context
	name     string
	found    map[string]*foundTable // by name in lower case
	problems []error
	rows     int
}

type foundTable struct {
	expected *Table // nil for a table that is no part of classicmodels
	actual   sqldump.Table
	rows     [][]Value
}

func (r *dumpReader) table(actual sqldump.Table) error {
	key := strings.ToLower(actual.Name)
	if earlier := r.found[key]; earlier != nil {
		return &sqldump.Error{File: r.name, Line: actual.Line, Reason: fmt.Sprintf("table %s is created again (first in line %d)", actual.Name, earlier.actual.Line)}
	}
	r.found[key] = &foundTable{expected: TableNamed(key), actual: actual}
	return nil
}

func (r *dumpReader) row(row sqldump.Row) error {
	const rowsBetweenChecks = 1024
	if r.rows++; r.rows%rowsBetweenChecks == 0 && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	table := r.found[strings.ToLower(row.Table)]
	if table == nil {
		return &sqldump.Error{File: r.name, Line: row.Line, Reason: fmt.Sprintf("a row for table %s, which the file does not create before", row.Table)}
	}
	if table.expected == nil {
		return nil
	}
	values, err := table.convert(row)
	if err != nil {
		err.File = r.name
		if r.problems = append(r.problems, err); len(r.problems) == maxProblems {
			r.problems = append(r.problems, fmt.Errorf("%s: more problems may follow; the first %d are listed", r.name, maxProblems))
			return errTooMany
		}
		return nil
	}
	table.rows = append(table.rows, values)
	return nil
}

// convert gives the row in the expected columns' order and kinds. Columns that the dump lacks are null; differences reports them.
func (t *foundTable) convert(row sqldump.Row) ([]Value, *sqldump.Error) {
	names := row.Columns
	if names == nil {
		for _, column := range t.actual.Columns {
			names = append(names, column.Name)
		}
	}
	if len(row.Values) != len(names) {
		return nil, &sqldump.Error{Line: row.Line, Reason: fmt.Sprintf("table %s: the row has %d values for %d columns", t.actual.Name, len(row.Values), len(names))}
	}
	values := make([]Value, len(t.expected.Columns))
	for i, column := range t.expected.Columns {
		at := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, column.Name) })
		inTable := slices.ContainsFunc(t.actual.Columns, func(c sqldump.Column) bool { return strings.EqualFold(c.Name, column.Name) })
		if !inTable {
			continue
		}
		if at < 0 {
			if !column.Nullable {
				return nil, &sqldump.Error{Line: row.Line, Reason: fmt.Sprintf("table %s, column %s: the row leaves it out and it may not be null", t.actual.Name, column.Name)}
			}
			continue
		}
		value, err := convert(column, row.Values[at])
		if err != nil {
			return nil, &sqldump.Error{Line: row.Values[at].Line, Reason: fmt.Sprintf("table %s, column %s: %v", t.actual.Name, column.Name, err)}
		}
		values[i] = value
	}
	return values, nil
}

// convert reads a literal as the column's kind. Errors quote numbers and dates only, never text: it is personal data.
func convert(column Column, literal sqldump.Literal) (Value, error) {
	if literal.Kind == sqldump.Null {
		if !column.Nullable {
			return Null, errors.New("it may not be null")
		}
		return Null, nil
	}
	text := literal.Text
	switch column.Kind {
	case Text:
		if !utf8.ValidString(text) {
			decoded, err := charmap.Windows1252.NewDecoder().String(text) // MySQL's latin1
			if err != nil {
				return Null, fmt.Errorf("text that is neither UTF-8 nor latin1: %w", err)
			}
			text = decoded
		}
		if count := utf8.RuneCountInString(text); column.Length > 0 && count > column.Length {
			return Null, fmt.Errorf("%d characters are too long for %s", count, column.Type)
		}
		return TextValue(text), nil
	case Bytes:
		return BytesValue([]byte(text)), nil
	case Integer:
		return parseInteger(column, text)
	case Decimal:
		return parseDecimal(column, text)
	default:
		return parseTime(column, text)
	}
}

func quoted(text string) string {
	const most = 30
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strconv.Quote(text)
}

func parseInteger(column Column, text string) (Value, error) {
	bits := 32
	if column.Type == "smallint" {
		bits = 16
	}
	n, err := strconv.ParseInt(text, 10, bits)
	if errors.Is(err, strconv.ErrRange) {
		return Null, fmt.Errorf("%s is out of the range of %s", quoted(text), column.Type)
	}
	if err != nil {
		return Null, fmt.Errorf("%s is not a whole number", quoted(text))
	}
	if column.Name == "productRating" && (n < 1 || n > 5) {
		return Null, fmt.Errorf("%d is not a rating: allowed are 1 to 5", n)
	}
	return IntegerValue(int(n)), nil
}

func parseDecimal(column Column, text string) (Value, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	fraction = strings.TrimRight(fraction, "0")
	const wholeDigits, fractionDigits = 8, 2
	if len(strings.TrimLeft(whole, "0")) > wholeDigits || len(fraction) > fractionDigits {
		return Null, fmt.Errorf("%s does not fit into %s", quoted(text), column.Type)
	}
	n, err := strconv.ParseUint(cmp.Or(whole, "0")+(fraction + "00")[:fractionDigits], 10, 63)
	if err != nil || digits == "" || digits == "." {
		return Null, fmt.Errorf("%s is not a number such as 12.30", quoted(text))
	}
	if negative {
		return DecimalValue(-int64(n)), nil
	}
	return DecimalValue(int64(n)), nil
}

func parseTime(column Column, text string) (Value, error) {
	layouts := []string{time.DateOnly, time.DateTime, "2006-01-02 15:04:05.999999"}
	for _, layout := range layouts {
		t, err := time.Parse(layout, text)
		if err != nil || t.Year() < 1000 {
			continue
		}
		if column.Kind == Timestamp {
			return TimestampValue(t), nil
		}
		return DateValue(t), nil
	}
	return Null, fmt.Errorf("%s is not a %s such as 2005-05-31", quoted(text), column.Type)
}

// differences compares the found tables with the expected ones, in the schema's order.
func (r *dumpReader) differences() (all []Difference) {
	for _, expected := range Schema {
		found := r.found[strings.ToLower(expected.Name)]
		if found == nil {
			missing := Difference{Table: expected.Name, Reason: "is missing", Fatal: true}
			if expected.Name == Ratings {
				missing = Difference{Table: Ratings, Reason: "is missing: ratings are derived from the orders"}
			}
			all = append(all, missing)
			continue
		}
		for _, column := range expected.Columns {
			i := slices.IndexFunc(found.actual.Columns, func(c sqldump.Column) bool { return strings.EqualFold(c.Name, column.Name) })
			switch {
			case i < 0 && column.Name == "ratedAt":
				all = append(all, Difference{Table: expected.Name, Column: column.Name, Reason: "is missing: ratings are dated by the day after the last order"})
			case i < 0:
				all = append(all, Difference{Table: expected.Name, Column: column.Name, Reason: "is missing", Fatal: true})
			default:
				all = append(all, columnDifferences(expected.Name, column, found.actual.Columns[i])...)
			}
		}
		for _, column := range found.actual.Columns {
			if !slices.ContainsFunc(expected.Columns, func(c Column) bool { return strings.EqualFold(c.Name, column.Name) }) {
				all = append(all, Difference{Table: expected.Name, Column: column.Name, Reason: "is not part of classicmodels: it is left out"})
			}
		}
	}
	for _, found := range r.found {
		if found.expected == nil {
			all = append(all, Difference{Table: found.actual.Name, Reason: "is not part of classicmodels: it is left out"})
		}
	}
	// The map's order is random: unknown tables go last, by name.
	slices.SortStableFunc(all, func(a, b Difference) int {
		unknownA, unknownB := TableNamed(a.Table) == nil, TableNamed(b.Table) == nil
		switch {
		case unknownA && unknownB:
			return strings.Compare(a.Table, b.Table)
		case unknownA:
			return 1
		case unknownB:
			return -1
		}
		return 0
	})
	return all
}

// typeFamilies are the SQL types from which a kind can be read.
var typeFamilies = map[Kind][]string{
	Integer:   {"int", "integer", "tinyint", "smallint", "mediumint", "bigint"},
	Decimal:   {"decimal", "numeric", "double", "float", "int", "integer", "bigint"},
	Text:      {"varchar", "char", "text", "tinytext", "mediumtext", "longtext", "enum"},
	Bytes:     {"blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary"},
	Date:      {"date", "datetime", "timestamp"},
	Timestamp: {"datetime", "timestamp", "date"},
}

func columnDifferences(table string, expected Column, actual sqldump.Column) (all []Difference) {
	family, _, _ := strings.Cut(strings.TrimSuffix(actual.Type, " unsigned"), "(")
	difference := Difference{Table: table, Column: expected.Name, Reason: fmt.Sprintf("has type %s, expected %s", actual.Type, expected.Type)}
	switch {
	case !slices.Contains(typeFamilies[expected.Kind], family):
		difference.Fatal = true
		return append(all, difference)
	case actual.Type != expected.Type:
		all = append(all, difference)
	}
	if actual.Nullable && !expected.Nullable {
		all = append(all, Difference{Table: table, Column: expected.Name, Reason: "may be null, expected not null"})
	}
	return all
}

// checkKeys reports rows with a primary key that another has, and references to rows that are not there.
func (d *Dump) checkKeys() error {
	var problems []error
	keys := map[*Table]map[string]bool{}
	for _, table := range Schema {
		keys[table] = map[string]bool{}
		for _, row := range d.rows[table] {
			key := rowKey(table, row)
			if keys[table][key] {
				problems = append(problems, fmt.Errorf("%s: table %s: key %s is there twice", d.name, table.Name, key))
			}
			keys[table][key] = true
		}
	}
	for _, table := range Schema {
		for _, foreign := range table.ForeignKeys {
			at, parents := table.Index(foreign.Column), keys[TableNamed(foreign.Table)]
			for _, row := range d.rows[table] {
				if !row[at].IsNull() && !parents[keyText(row[at])] {
					problems = append(problems, fmt.Errorf("%s: table %s: %s %s of row %s is not in %s",
						d.name, table.Name, foreign.Column, keyText(row[at]), rowKey(table, row), foreign.Table))
				}
			}
		}
	}
	if len(problems) > maxProblems {
		problems = append(problems[:maxProblems], fmt.Errorf("%s: and %d more of this kind", d.name, len(problems)-maxProblems))
	}
	return errors.Join(problems...)
}

func rowKey(table *Table, row []Value) string {
	parts := make([]string, len(table.PrimaryKey))
	for i, column := range table.PrimaryKey {
		parts[i] = keyText(row[table.Index(column)])
	}
	return strings.Join(parts, "/")
}

// keyText compares as MySQL's collation does for the keys there are: without case.
func keyText(v Value) string { return strings.ToLower(v.String()) }

// complete dates the dump and gives it the ratings that it lacks.
func (d *Dump) complete(ratings *foundTable) {
	latest := time.Unix(0, 0).UTC()
	for table, rows := range d.rows {
		for i, column := range table.Columns {
			if column.Kind != Timestamp && column.Name != "orderDate" && column.Name != "paymentDate" {
				continue
			}
			for _, row := range rows {
				if !row[i].IsNull() && row[i].Time().After(latest) {
					latest = row[i].Time()
				}
			}
		}
	}
	d.now = latest.Truncate(24*time.Hour).AddDate(0, 0, 1)
	table := TableNamed(Ratings)
	if ratings == nil {
		d.ratings = RatingsDerived
		d.rows[table] = d.derivedRatings()
		return
	}
	d.ratings = RatingsGiven
	for _, row := range d.rows[table] {
		if at := table.Index("ratedAt"); row[at].IsNull() {
			d.ratings = RatingsUndated
			row[at] = TimestampValue(d.now)
		}
	}
}

// purchases of one product by one customer.
type purchases struct {
	customer         int64
	product          string
	orders, quantity int64
	last             Value
}

func (d *Dump) derivedRatings() (rows [][]Value) {
	buyers := map[int64][]Value{}
	for _, order := range d.rows[TableNamed(Orders)] {
		buyers[order[0].Int()] = order
	}
	type pair struct {
		customer int64
		product  string
	}
	bought := map[pair]*purchases{}
	for _, line := range d.rows[TableNamed(OrderDetails)] {
		order := buyers[line[0].Int()]
		key := pair{order[6].Int(), line[1].String()}
		if bought[key] == nil {
			bought[key] = &purchases{customer: key.customer, product: key.product, last: order[1]}
		}
		bought[key].orders++
		bought[key].quantity += line[2].Int()
		if order[1].Time().After(bought[key].last.Time()) {
			bought[key].last = order[1]
		}
	}
	ranked := make([]*purchases, 0, len(bought))
	for _, p := range bought {
		ranked = append(ranked, p)
	}
	slices.SortFunc(ranked, func(a, b *purchases) int {
		return cmp.Or(cmp.Compare(a.customer, b.customer), cmp.Compare(a.orders, b.orders), cmp.Compare(a.quantity, b.quantity), strings.Compare(a.product, b.product))
	})
	for start := 0; start < len(ranked); {
		end := start
		for end < len(ranked) && ranked[end].customer == ranked[start].customer {
			end++
		}
		for i, p := range ranked[start:end] {
			rows = append(rows, []Value{
				IntegerValue(int(p.customer)), TextValue(p.product), IntegerValue(starsOfRank(i, end-start)), TimestampValue(p.last.Time()),
			})
		}
		start = end
	}
	return rows
}

// starsOfRank cuts ranks by the cumulative counts of the course's ratings: 224, 786, 1645 and 2277 of 2,532.
func starsOfRank(rank, of int) int {
	stars := 1
	for _, bound := range []int{224, 786, 1645, 2277} {
		if (2*rank+1)*2532 >= 2*of*bound {
			stars++
		}
	}
	return stars
}

// Differences from the expected schema that do not matter enough to refuse the dump.
func (d *Dump) Differences() []Difference { return slices.Clone(d.differences) }

// Ratings says where the ratings come from.
func (d *Dump) Ratings() RatingsOrigin { return d.ratings }

// Now is the midnight after the last order, payment or rating.
func (d *Dump) Now() time.Time { return d.now }

// Origin is "dump", and the file's name and digest and where the ratings come from.
func (d *Dump) Origin() (kind, detail string) {
	return "dump", fmt.Sprintf("file=%s sha256=%s ratings=%s", d.name, d.digest[:16], d.ratings)
}

// Scan visits all rows, table by table in the schema's order.
func (d *Dump) Scan(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	for _, table := range Schema {
		for _, row := range d.rows[table] {
			v.rowOf(table, row)
		}
	}
	return v.err
}

// ScanTraining visits the training set's rows.
func (d *Dump) ScanTraining(ctx context.Context, visit Visit) error {
	v := visitor{ctx: ctx, visit: visit}
	parts := [2]map[string][]Value{{}, {}}
	for i, part := range []*Table{trainingCustomers, trainingProducts} {
		table := TableNamed(part.Name)
		for _, row := range d.rows[table] {
			projected := project(table, row, part)
			parts[i][keyText(row[0])] = projected
			v.rowOf(part, projected)
		}
	}
	for _, row := range d.rows[TableNamed(Ratings)] {
		v.rowOf(trainingRatings, trainingRating(parts[0][keyText(row[0])], parts[1][keyText(row[1])], row[2], row[3]))
	}
	return v.err
}
