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
	"regexp"
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
	DumpSummary
	rows map[*Table][][]Value
}

var _ Source = (*Dump)(nil)

// DumpSummary is what is known of a dump once it is read.
type DumpSummary struct {
	name        string
	digest      string
	ratings     RatingsOrigin
	differences []Difference
	now         time.Time
}

// ReadDump reads and checks a dump of classicmodels, as mysqldump and its like write it (see
// sqldump.Read for what is read), in UTF-8 or latin1. The name is for messages.
//
// The error joins all that is wrong: schema differences that cannot be worked with, values that
// their column cannot hold (*sqldump.Error, with file and line; at most 20), keys that are double
// or refer to nothing.
//
// Without a table ratings, every (customer, product) pair that was ordered gets a rating: a
// customer's pairs are ranked by how often and how much of the product was ordered, and the ranks
// are cut into 1 to 5 by the shares that the course's ratings have; it is dated by the pair's last
// order. Such ratings are marked as derived in the origin.
func ReadDump(ctx context.Context, name string, source io.Reader) (*Dump, error) {
	d := &Dump{rows: map[*Table][][]Value{}}
	summary, err := ScanDump(ctx, name, source, func(table *Table, row []Value, _ int) error {
		d.rows[table] = append(d.rows[table], row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.DumpSummary = *summary
	if err := d.checkKeys(); err != nil {
		return nil, err
	}
	d.complete()
	return d, nil
}

// ScanDump is ReadDump in memory bounded by the longest row: it visits the rows one by one, in the
// file's order, with the line where each begins, and leaves to the caller what needs all of them at
// once. That is to find keys that are double or refer to nothing, to derive ratings where they are
// RatingsDerived, and to date those that are RatingsUndated, whose ratedAt is null, with the
// summary's Now. Only when the error is nil are the visited rows a whole database; the row is the
// visitor's to keep, and the visitor's error is returned.
func ScanDump(
	ctx context.Context, name string, source io.Reader, visit func(table *Table, row []Value, line int) error,
) (*DumpSummary, error) {
	digest := sha256.New()
	r := &dumpReader{ctx: ctx, name: name, visit: visit, found: map[string]*foundTable{}, latest: time.Unix(0, 0).UTC()}
	err := sqldump.Read(
		name, io.TeeReader(source, digest),
		sqldump.Handler{Table: r.table, Row: r.row, Wanted: r.wanted, Drop: r.drop},
	)
	if err != nil && !errors.Is(err, errTooMany) {
		r.problems = append(r.problems, err) // what was found before stays worth telling
		return nil, errors.Join(r.problems...)
	}
	summary := &DumpSummary{
		name:        filepath.Base(name),
		digest:      hex.EncodeToString(digest.Sum(nil)),
		differences: r.differences(),
	}
	for _, difference := range summary.differences {
		if difference.Fatal {
			r.problems = append(r.problems, fmt.Errorf("%s: %s", name, difference))
		}
	}
	if err := errors.Join(r.problems...); err != nil {
		return nil, err
	}
	if r.kept == 0 {
		return nil, fmt.Errorf("%s: no row is inserted: expected a dump with the tables' data", name)
	}
	summary.now = r.latest.Truncate(24*time.Hour).AddDate(0, 0, 1)
	summary.ratings = RatingsDerived
	if ratings := r.expected(Ratings); ratings != nil {
		summary.ratings = RatingsUndated
		if ratings.column("ratedAt") != nil {
			summary.ratings = RatingsGiven
		}
	}
	return summary, nil
}

// errTooMany ends the reading.
var errTooMany = errors.New("too many problems")

type dumpReader struct {
	ctx      context.Context
	name     string
	visit    func(table *Table, row []Value, line int) error
	found    map[string]*foundTable // by tableKey
	problems []error
	rows     int       // of all tables
	kept     int       // of the shop's
	latest   time.Time // of all orders, payments and ratings
	decoder  decoder
}

type foundTable struct {
	expected *Table // nil for a table that is no part of classicmodels
	actual   sqldump.Table
}

func (t *foundTable) column(name string) *sqldump.Column {
	i := slices.IndexFunc(t.actual.Columns, func(c sqldump.Column) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil
	}
	return &t.actual.Columns[i]
}

func tableKey(database, table string) string {
	return strings.ToLower(database) + "." + strings.ToLower(table)
}

// expected is the found table of a name of the schema, or nil. Only one database of the file has
// any: see table.
func (r *dumpReader) expected(name string) *foundTable {
	for _, found := range r.found {
		if found.expected != nil && found.expected.Name == name {
			return found
		}
	}
	return nil
}

func (r *dumpReader) table(actual sqldump.Table) error {
	found := &foundTable{expected: TableNamed(strings.ToLower(actual.Name)), actual: actual}
	if found.expected == nil {
		found.actual.Columns = nil // nobody asks for them
	}
	for _, other := range r.found {
		if found.expected != nil && other.expected != nil &&
			!strings.EqualFold(actual.Database, other.actual.Database) {
			return &sqldump.Error{File: r.name, Line: actual.Line, Reason: fmt.Sprintf(
				"table %s is of %s, while table %s of line %d is of %s: "+
					"expected the tables of one database, dumped by itself",
				actual.Name, databaseText(actual.Database), other.actual.Name, other.actual.Line,
				databaseText(other.actual.Database),
			)}
		}
	}
	r.found[tableKey(actual.Database, actual.Name)] = found
	return nil
}

func databaseText(name string) string {
	if name == "" {
		return "no named database"
	}
	return "database " + name
}

func (r *dumpReader) drop(database, table string) { delete(r.found, tableKey(database, table)) }

// wanted are the rows of the shop's tables, also of one that is missing: row says so.
func (r *dumpReader) wanted(database, table string) bool {
	found := r.found[tableKey(database, table)]
	if found == nil {
		return TableNamed(strings.ToLower(table)) != nil
	}
	return found.expected != nil
}

func (r *dumpReader) row(row sqldump.Row) error {
	const rowsBetweenChecks = 1024
	if r.rows++; r.rows%rowsBetweenChecks == 0 && r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	table := r.found[tableKey(row.Database, row.Table)]
	if table == nil && TableNamed(strings.ToLower(row.Table)) == nil {
		return nil // a dump of a whole server fills some tables that it does not create
	}
	if table == nil {
		name := row.Table
		if row.Database != "" {
			name = row.Database + "." + name
		}
		return &sqldump.Error{
			File:   r.name,
			Line:   row.Line,
			Reason: fmt.Sprintf("a row for table %s, which the file does not create before", name),
		}
	}
	if table.expected == nil {
		return nil
	}
	values, err := r.convert(table, row)
	if err != nil {
		err.File = r.name
		if r.problems = append(r.problems, err); len(r.problems) == maxProblems {
			r.problems = append(
				r.problems, fmt.Errorf("%s: more problems may follow; the first %d are listed", r.name, maxProblems),
			)
			return errTooMany
		}
		return nil
	}
	r.kept++
	r.date(table.expected, values)
	if len(r.problems) > 0 {
		return nil // the file is refused: only more problems are looked for
	}
	return r.visit(table.expected, values, row.Line)
}

// date remembers the latest of the dates that tell when the dump was made.
func (r *dumpReader) date(table *Table, row []Value) {
	for i, column := range table.Columns {
		if column.Kind != Timestamp && column.Name != "orderDate" && column.Name != "paymentDate" {
			continue
		}
		if !row[i].IsNull() && row[i].Time().After(r.latest) {
			r.latest = row[i].Time()
		}
	}
}

// convert gives the row in the expected columns' order and kinds. Columns that the dump lacks are
// null; differences reports them.
func (r *dumpReader) convert(t *foundTable, row sqldump.Row) ([]Value, *sqldump.Error) {
	problem := func(line int, format string, arguments ...any) ([]Value, *sqldump.Error) {
		return nil, &sqldump.Error{Line: line, Reason: "table " + t.actual.Name + fmt.Sprintf(format, arguments...)}
	}
	names := row.Columns
	if names == nil {
		for _, column := range t.actual.Columns {
			names = append(names, column.Name)
		}
	}
	if len(row.Values) != len(names) {
		return problem(row.Line, ": the row has %d values for %d columns", len(row.Values), len(names))
	}
	for _, name := range names {
		if t.column(name) == nil {
			return problem(row.Line, ", column %.64s: the row has a value for it, and the table no such column", name)
		}
	}
	values := make([]Value, len(t.expected.Columns))
	for i, column := range t.expected.Columns {
		actual := t.column(column.Name)
		if actual == nil {
			continue
		}
		at := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(name, column.Name) })
		switch {
		case at < 0 && actual.Default:
			return problem(
				row.Line,
				", column %s: the row leaves it to the table's own default, which is not read: expected a value",
				column.Name,
			)
		case at < 0 && !column.Nullable:
			return problem(row.Line, ", column %s: the row leaves it out and it may not be null", column.Name)
		case at < 0:
			continue
		}
		literal := row.Values[at]
		if family(actual.Type) == "timestamp" && column.Kind == Timestamp && literal.Kind != sqldump.Null &&
			!slices.Contains(utc, row.Zone) {
			return problem(
				literal.Line,
				", column %s: its type timestamp means a moment, but the file does not say in UTC: "+
					"expected SET time_zone = '+00:00' before, as mysqldump writes it",
				column.Name,
			)
		}
		if family(actual.Type) == "enum" && literal.Kind == sqldump.Number {
			return problem(literal.Line, ", column %s: the number of a choice, expected its text", column.Name)
		}
		value, err := r.decoder.convert(column, literal)
		if err != nil {
			return problem(literal.Line, ", column %s: %v", column.Name, err)
		}
		values[i] = value
	}
	return values, nil
}

// utc is how a dump says so.
var utc = []string{"+00:00", "-00:00", "+0:00", "UTC"}

// family is a type's name without length and sign.
func family(sqlType string) string {
	name, _, _ := strings.Cut(strings.TrimSuffix(sqlType, " unsigned"), "(")
	return name
}

// decoder reads literals. It holds what the file's texts have shown of their encoding so far.
type decoder struct{ seen string }

// convert reads a literal as the column's kind. Errors quote numbers and dates only, never text: it
// is personal data.
func (d *decoder) convert(column Column, literal sqldump.Literal) (Value, error) {
	if literal.Kind == sqldump.Null {
		if !column.Nullable {
			return Null, errors.New("it may not be null")
		}
		return Null, nil
	}
	text := literal.Text
	switch column.Kind {
	case Text:
		text, err := d.text(literal)
		if err != nil {
			return Null, err
		}
		if count := utf8.RuneCountInString(text); column.Length > 0 && count > column.Length {
			return Null, fmt.Errorf("%d characters are too long for %s", count, column.Type)
		}
		return TextValue(text), nil
	case Bytes:
		return BytesValue([]byte(text)), nil
	}
	if column.Kind != Integer && column.Kind != Decimal {
		return parseTime(column, text)
	}
	if literal.Kind == sqldump.Bytes {
		// To MySQL 0x33 is 51 where a number is wanted, and _binary '33' is 33.
		return Null, fmt.Errorf(
			"a hexadecimal, bit or binary value: expected the digits of a number, for %s", column.Type,
		)
	}
	if column.Kind == Integer {
		return parseInteger(column, text)
	}
	return parseDecimal(column, text)
}

// plainNumber is one that MySQL stores in a text column as it is written.
var plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// text decodes by the character set that the file announces and refuses what contradicts it. Many a
// dump announces UTF-8 and is latin1 throughout: that is read, but a file is one or the other.
func (d *decoder) text(literal sqldump.Literal) (string, error) {
	text := literal.Text
	if literal.Kind == sqldump.Number {
		if !plainNumber.MatchString(text) {
			return "", fmt.Errorf(
				"the number %s would not be stored as it is written: expected a quoted text", quoted(text),
			)
		}
		return text, nil
	}
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return text, nil
	}
	valid := utf8.ValidString(text)
	if literal.Kind == sqldump.Bytes {
		if !valid {
			return "", errors.New("bytes that are no UTF-8 and name no character set")
		}
		return text, nil
	}
	encoding := sqldump.Latin1
	if valid {
		encoding = sqldump.UTF8
	}
	if literal.Charset == sqldump.Latin1 && valid {
		return "", errors.New(
			"text in UTF-8 where the file announces latin1: expected SET NAMES utf8mb4, or text in latin1",
		)
	}
	if d.seen != "" && d.seen != encoding {
		return "", fmt.Errorf(
			"text in %s after text in %s: expected one character set in the whole file", encoding, d.seen,
		)
	}
	if d.seen = encoding; valid {
		return text, nil
	}
	return charmap.Windows1252.NewDecoder().String(text) // MySQL's latin1
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
	database := ""
	for _, expected := range Schema {
		found := r.expected(expected.Name)
		if found == nil {
			missing := Difference{Table: expected.Name, Reason: "is missing", Fatal: true}
			if expected.Name == Ratings {
				missing = Difference{Table: Ratings, Reason: "is missing: ratings are derived from the orders"}
			}
			all = append(all, missing)
			continue
		}
		database = found.actual.Database
		for _, column := range expected.Columns {
			actual := found.column(column.Name)
			switch {
			case actual == nil && column.Name == "ratedAt":
				all = append(
					all,
					Difference{
						Table:  expected.Name,
						Column: column.Name,
						Reason: "is missing: ratings are dated by the day after the last order",
					},
				)
			case actual == nil:
				all = append(
					all, Difference{Table: expected.Name, Column: column.Name, Reason: "is missing", Fatal: true},
				)
			default:
				all = append(all, columnDifferences(expected.Name, column, *actual)...)
			}
		}
		for _, column := range found.actual.Columns {
			if !slices.ContainsFunc(
				expected.Columns, func(c Column) bool { return strings.EqualFold(c.Name, column.Name) },
			) {
				all = append(
					all,
					Difference{
						Table:  expected.Name,
						Column: column.Name,
						Reason: "is not part of classicmodels: it is left out",
					},
				)
			}
		}
	}
	for _, found := range r.found {
		if found.expected == nil && strings.EqualFold(found.actual.Database, database) {
			all = append(
				all, Difference{Table: found.actual.Name, Reason: "is not part of classicmodels: it is left out"},
			)
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
	difference := Difference{
		Table:  table,
		Column: expected.Name,
		Reason: fmt.Sprintf("has type %s, expected %s", actual.Type, expected.Type),
	}
	switch {
	case !slices.Contains(typeFamilies[expected.Kind], family(actual.Type)):
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

// checkKeys reports rows with a primary key that another has, and references to rows that are not
// there.
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
		problems = append(
			problems[:maxProblems], fmt.Errorf("%s: and %d more of this kind", d.name, len(problems)-maxProblems),
		)
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

// complete gives the dump the ratings, or their dates, that it lacks.
func (d *Dump) complete() {
	table := TableNamed(Ratings)
	switch d.ratings {
	case RatingsDerived:
		d.rows[table] = d.derivedRatings()
	case RatingsUndated:
		for _, row := range d.rows[table] {
			row[table.Index("ratedAt")] = TimestampValue(d.now)
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
		return cmp.Or(
			cmp.Compare(a.customer, b.customer), cmp.Compare(a.orders, b.orders), cmp.Compare(a.quantity, b.quantity),
			strings.Compare(a.product, b.product),
		)
	})
	for start := 0; start < len(ranked); {
		end := start
		for end < len(ranked) && ranked[end].customer == ranked[start].customer {
			end++
		}
		for i, p := range ranked[start:end] {
			rows = append(rows, []Value{
				IntegerValue(
					int(p.customer),
				), TextValue(p.product), IntegerValue(starsOfRank(i, end-start)), TimestampValue(p.last.Time()),
			})
		}
		start = end
	}
	return rows
}

// starsOfRank cuts ranks by the cumulative counts of the course's ratings: 224, 786, 1645 and 2277
// of 2,532.
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
func (d *DumpSummary) Differences() []Difference { return slices.Clone(d.differences) }

// Ratings says where the ratings come from.
func (d *DumpSummary) Ratings() RatingsOrigin { return d.ratings }

// Now is the midnight after the last order, payment or rating.
func (d *DumpSummary) Now() time.Time { return d.now }

// Origin is "dump", and the file's name and digest and where the ratings come from.
func (d *DumpSummary) Origin() (kind, detail string) {
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
