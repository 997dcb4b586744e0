package classicmodels_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"

	"diecast/internal/classicmodels"
	"diecast/internal/classicmodels/sqldump"
	"diecast/internal/trainingset"
)

func generatedDump(t testing.TB, change func(*classicmodels.Options)) string {
	t.Helper()
	written := memory{}
	_, err := classicmodels.WriteSQL(t.Context(), shop(t, change), written.create)
	require.NoError(t, err)
	return written["classicmodels.sql"].String()
}

func readDump(t testing.TB, text string) (*classicmodels.Dump, error) {
	t.Helper()
	return classicmodels.ReadDump(t.Context(), "my/shop.sql", strings.NewReader(text))
}

func TestGeneratedDumpIsReadBackAsItWas(t *testing.T) {
	dump, err := readDump(t, generatedDump(t, nil))
	require.NoError(t, err)
	assert.Empty(t, dump.Differences())
	assert.Equal(t, classicmodels.RatingsGiven, dump.Ratings())
	assert.Equal(t, rows(t, shop(t, nil)), rows(t, dump))

	fromShop, fromDump := memory{}, memory{}
	_, err = classicmodels.WriteCSV(t.Context(), shop(t, nil), fromShop.create)
	require.NoError(t, err)
	_, err = classicmodels.WriteCSV(t.Context(), dump, fromDump.create)
	require.NoError(t, err)
	assert.Equal(t, fromShop, fromDump)
}

func TestDumpInLatin1GivesTheSameText(t *testing.T) {
	latin1, err := charmap.Windows1252.NewEncoder().String(generatedDump(t, nil))
	require.NoError(t, err)
	dump, err := readDump(t, latin1)
	require.NoError(t, err)
	assert.Equal(t, rows(t, shop(t, nil)), rows(t, dump))
}

// small is a whole database in as few rows as possible, in mysqldump's style.
const small = `-- A dump
/*!40101 SET NAMES utf8 */;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ ` + "`classicmodels`" + `;
USE classicmodels;
CREATE TABLE offices (officeCode varchar(10) NOT NULL, city varchar(50) NOT NULL, phone varchar(50) NOT NULL, ` +
	`addressLine1 varchar(50) NOT NULL,
  addressLine2 varchar(50) DEFAULT NULL, state varchar(50) DEFAULT NULL, country varchar(50) NOT NULL, ` +
	`postalCode varchar(15) NOT NULL,
  territory varchar(10) NOT NULL, PRIMARY KEY (officeCode));
INSERT INTO offices VALUES ('1','Lille','+33','rue 1',NULL,NULL,'France','59000','EMEA');
CREATE TABLE employees (employeeNumber int(11) NOT NULL, lastName varchar(50) NOT NULL, firstName varchar(` +
	`50) NOT NULL,extension varchar(10) NOT NULL,
  email varchar(100) NOT NULL, officeCode varchar(10) NOT NULL, reportsTo int(11) DEFAULT NULL, ` +
	`jobTitle varchar(50) NOT NULL, PRIMARY KEY (employeeNumber),
  KEY reportsTo (reportsTo), CONSTRAINT employees_ibfk_1 FOREIGN KEY (reportsTo) REFERENCES employees (employeeNumber));
INSERT INTO employees VALUES (1,'Doe','J','x1','j@shop.example','1',NULL,'Sales Rep');
CREATE TABLE productlines (productLine varchar(50) NOT NULL, textDescription varchar(4000) DEFAULT NULL, ` +
	`htmlDescription mediumtext, image mediumblob,
  PRIMARY KEY (productLine)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO productlines VALUES ('Kites','it''s \"light\"; really',NULL,0x00FF10);
CREATE TABLE products (productCode varchar(15) NOT NULL, productName varchar(70) NOT NULL, ` +
	`productLine varchar(50) NOT NULL, productScale varchar(10) NOT NULL,
  productVendor varchar(50) NOT NULL, productDescription text NOT NULL, quantityInStock smallint(6) NOT NULL, ` +
	`buyPrice decimal(10,2) NOT NULL,
  MSRP decimal(10,2) NOT NULL, PRIMARY KEY (productCode));
INSERT INTO products VALUES ('K1','Kite','Kites','1:1','V','d',5,1.50,3),('K2','Box kite','Kites','1:1','V','d',5,` +
	`1.5,3.00),('K3','Stunt kite','Kites','1:1','V','d',-2,1,3.0);
CREATE TABLE customers (customerNumber int(11) NOT NULL, customerName varchar(50) NOT NULL, ` +
	`contactLastName varchar(50) NOT NULL, contactFirstName varchar(50) NOT NULL,
  phone varchar(50) NOT NULL, addressLine1 varchar(50) NOT NULL, addressLine2 varchar(50) DEFAULT NULL, ` +
	`city varchar(50) NOT NULL, state varchar(50) DEFAULT NULL,
  postalCode varchar(15) DEFAULT NULL, country varchar(50) NOT NULL, salesRepEmployeeNumber int(11) DEFAULT NULL, ` +
	`creditLimit decimal(10,2) DEFAULT NULL, PRIMARY KEY (customerNumber));
INSERT INTO customers (customerNumber, customerName, contactLastName, contactFirstName, phone, addressLine1, city, ` +
	`country, creditLimit) VALUES
  (7,'Wind','B','A','1','a','Oslo','Norway  ',100.00);
CREATE TABLE orders (orderNumber int(11) NOT NULL, orderDate date NOT NULL, requiredDate date NOT NULL, ` +
	`shippedDate date DEFAULT NULL, status varchar(15) NOT NULL,
  comments text, customerNumber int(11) NOT NULL, PRIMARY KEY (orderNumber));
INSERT INTO orders VALUES (1,'2020-01-01','2020-01-09',NULL,'Shipped',NULL,7),(2,'2020-03-01','2020-03-09',` +
	`'2020-03-02','Shipped','ok',7);
CREATE TABLE orderdetails (orderNumber int(11) NOT NULL, productCode varchar(15) NOT NULL, ` +
	`quantityOrdered int(11) NOT NULL, priceEach decimal(10,2) NOT NULL,
  orderLineNumber smallint(6) NOT NULL, PRIMARY KEY (orderNumber,productCode));
INSERT INTO orderdetails VALUES (1,'K1',10,3.00,1),(1,'K2',99,3.00,2),(2,'K1',1,2.99,1),(2,'K3',5,3.00,2);
CREATE TABLE payments (customerNumber int(11) NOT NULL, checkNumber varchar(50) NOT NULL, paymentDate date NOT NULL, ` +
	`amount decimal(10,2) NOT NULL,
  PRIMARY KEY (customerNumber,checkNumber));
INSERT INTO payments VALUES (7,'AB1','2020-03-20',30.00);
`

const undatedRatings = `CREATE TABLE ratings (customerNumber int, productCode varchar(15), productRating int);
INSERT INTO ratings VALUES (7,'K1',5),(7,'K2',2);
`

func TestRatingsAreDerivedFromTheOrders(t *testing.T) {
	dump, err := readDump(t, small)
	require.NoError(t, err)
	assert.Equal(t, classicmodels.RatingsDerived, dump.Ratings())
	assert.Equal(t, "2020-03-21", dump.Now().Format("2006-01-02"))
	kind, detail := dump.Origin()
	assert.Equal(t, "dump", kind)
	assert.Contains(t, detail, "file=shop.sql")
	assert.Contains(t, detail, "ratings=derived")
	// K1 was ordered twice, K2 and K3 once, K2 the more.
	assert.Equal(t, []map[string]string{
		{"customerNumber": "7", "productCode": "K3", "productRating": "2", "ratedAt": "2020-03-01 00:00:00"},
		{"customerNumber": "7", "productCode": "K2", "productRating": "3", "ratedAt": "2020-01-01 00:00:00"},
		{"customerNumber": "7", "productCode": "K1", "productRating": "4", "ratedAt": "2020-03-01 00:00:00"},
	}, rows(t, dump)["ratings"])
	assert.Equal(t, []string{"table ratings: is missing: ratings are derived from the orders"},
		texts(dump.Differences()))
}

func texts(differences []classicmodels.Difference) (all []string) {
	for _, difference := range differences {
		all = append(all, difference.String())
	}
	return all
}

func TestDerivedRatingsHaveTheCoursesHistogram(t *testing.T) {
	text := generatedDump(t, nil)
	text = strings.ReplaceAll(text, "`ratings`", "`opinions`")
	dump, err := readDump(t, text)
	require.NoError(t, err)
	ratings := rows(t, dump)["ratings"]
	assert.Len(t, ratings, len(rows(t, shop(t, nil))["ratings"]))
	counts := distinct(ratings, "productRating")
	for stars, expected := range map[string]float64{"1": 224, "2": 562, "3": 859, "4": 632, "5": 255} {
		assert.InDelta(t, expected/2532, float64(counts[stars])/float64(len(ratings)), 0.03, stars)
	}
	again, err := readDump(t, text)
	require.NoError(t, err)
	assert.Equal(t, ratings, rows(t, again)["ratings"])
	assert.Contains(t, texts(dump.Differences()), "table opinions: is not part of classicmodels: it is left out")
}

func TestTheCoursesRatingsAreDated(t *testing.T) {
	dump, err := readDump(t, small+undatedRatings)
	require.NoError(t, err)
	assert.Equal(t, classicmodels.RatingsUndated, dump.Ratings())
	assert.Equal(t, "2020-03-21 00:00:00", rows(t, dump)["ratings"][1]["ratedAt"])

	folder := t.TempDir()
	_, err = classicmodels.WriteTraining(t.Context(), dump, classicmodels.Directory(folder))
	require.NoError(t, err)
	manifest, err := trainingset.Verify(os.DirFS(filepath.Join(folder, trainingset.Prefix, classicmodels.RunID(dump))))
	require.NoError(t, err)
	assert.EqualValues(t, 2, manifest.Tables.Ratings.Rows)
	assert.EqualValues(t, 3, manifest.Tables.Products.Rows, "all products, not only the rated ones")
}

func TestDumpsValuesAreRead(t *testing.T) {
	dump, err := readDump(t, small)
	require.NoError(t, err)
	all := rows(t, dump)
	assert.Equal(t, map[string]string{"productLine": "Kites", "textDescription": `it's "light"; really`,
		"image": "\x00\xff\x10"}, all["productlines"][0])
	assert.Equal(t, "-2", all["products"][2]["quantityInStock"])
	assert.Equal(t, []string{"1.50", "1.50", "1.00"}, []string{all["products"][0]["buyPrice"],
		all["products"][1]["buyPrice"], all["products"][2]["buyPrice"]})
	assert.Equal(t, "Norway  ", all["customers"][0]["country"])
	assert.NotContains(t, all["customers"][0], "state")
}

func TestBadDumpsAreRefusedWithTheReason(t *testing.T) {
	replace := func(old, new string) string {
		changed := strings.Replace(small, old, new, 1)
		if changed == small {
			panic("nothing replaced: " + old)
		}
		return changed
	}
	for name, bad := range map[string]struct {
		text   string
		parts  []string
		lineOf string // the message must name this text's line
	}{
		"empty file": {"", []string{"table offices: is missing", "table customers: is missing",
			"table payments: is missing"}, ""},
		"no rows": {
			regexp.MustCompile("(?m)^(INSERT INTO .*|  .7,'Wind'.*);$").
				ReplaceAllString(strings.ReplaceAll(small, " VALUES\n", " VALUES "), ";"),
			[]string{"no row is inserted"}, "",
		},
		"missing table": {strings.Replace(replace("CREATE TABLE payments (", "CREATE TABLE payed ("),
			"INTO payments", "INTO payed", 1), []string{"table payments: is missing"}, ""},
		"missing column": {replace("territory varchar", "region varchar"),
			[]string{"table offices, column territory: is missing"}, ""},
		"other type": {replace("orderDate date", "orderDate int"),
			[]string{"table orders, column orderDate: has type int, expected date"}, ""},
		"truncated row": {small[:strings.Index(small, "2.99,1")], []string{"truncated"},
			"INSERT INTO orderdetails"},
		"truncated text": {small[:strings.Index(small, "Stunt ")], []string{"truncated"}, "'Kite'"},
		"too few values": {replace("(7,'AB1','2020-03-20',30.00)", "(7,'AB1',30.00)"),
			[]string{"table payments", "3 values for 4 columns"}, "INSERT INTO payments"},
		"not a number": {replace("99,3.00,2", "'many',3.00,2"),
			[]string{"table orderdetails, column quantityOrdered", "\"many\""}, "INSERT INTO orderdetails"},
		"number too large": {replace("'d',-2", "'d',40000"), []string{"quantityInStock", "range of smallint"},
			"INSERT INTO products"},
		"too many digits": {replace("30.00", "30.001"), []string{"amount", "decimal(10,2)"}, "INSERT INTO payments"},
		"no such day": {replace("2020-03-20", "2020-02-30"), []string{"paymentDate", "2020-02-30"},
			"INSERT INTO payments"},
		"null": {replace("'AB1'", "NULL"), []string{"checkNumber", "may not be null"},
			"INSERT INTO payments"},
		"text too long": {replace("'Kite'", "'"+strings.Repeat("é", 71)+"'"),
			[]string{"productName", "71 characters"}, "INSERT INTO products"},
		"double key": {replace("(2,'2020-03-01'", "(1,'2020-03-01'"),
			[]string{"table orders: key 1 is there twice"}, ""},
		"dangling key": {replace("(2,'K3',5", "(2,'K9',5"),
			[]string{"table orderdetails: productCode k9 of row 2/k9 is not in products"}, ""},
		"rating of six": {small + strings.Replace(undatedRatings, "',5)", "',6)", 1), []string{"6 is not a rating"},
			"INSERT INTO ratings"},
		"row before table": {"INSERT INTO offices VALUES (1);" + small, []string{"a row for table offices"},
			"INSERT INTO offices"},
		"a function": {replace("30.00", "round(3)"), []string{"only literals"}, "INSERT INTO payments"},
		"an update":  {small + "UPDATE orders SET status = 'Lost';", []string{"UPDATE is not read"}, "UPDATE"},
		"several at a time": {strings.Replace(replace("99,3.00,2", "'many',3.00,2"), "30.00", "x'zz'", 1),
			[]string{"many", "hexadecimal"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readDump(t, bad.text)
			require.Error(t, err)
			for _, part := range bad.parts {
				assert.ErrorContains(t, err, part)
			}
			if bad.lineOf != "" {
				var located *sqldump.Error
				require.True(t, errors.As(err, &located), err)
				assert.Equal(t, "my/shop.sql", located.File)
				assert.Equal(t, 1+strings.Count(bad.text[:strings.Index(bad.text, bad.lineOf)], "\n"), located.Line)
			}
		})
	}
}

func TestDifferencesOfTheSchemaAreTold(t *testing.T) {
	text := strings.NewReplacer("territory varchar(10) NOT NULL", "territory varchar(20)", "'EMEA'", "'EMEA',1",
		", PRIMARY KEY (officeCode)", ", floor int, PRIMARY KEY (officeCode)").Replace(small)
	dump, err := readDump(t,
		text+undatedRatings+"CREATE TABLE zebras (n int); INSERT INTO zebras VALUES (1); CREATE TABLE apes (n int);")
	require.NoError(t, err)
	assert.Equal(t, []string{
		"table offices, column territory: has type varchar(20), expected varchar(10)",
		"table offices, column territory: may be null, expected not null",
		"table offices, column floor: is not part of classicmodels: it is left out",
		"table ratings, column customerNumber: may be null, expected not null",
		"table ratings, column productCode: may be null, expected not null",
		"table ratings, column productRating: may be null, expected not null",
		"table ratings, column ratedAt: is missing: ratings are dated by the day after the last order",
		"table apes: is not part of classicmodels: it is left out",
		"table zebras: is not part of classicmodels: it is left out",
	}, texts(dump.Differences()))
}

func TestManyBadValuesAreCutShort(t *testing.T) {
	_, err := readDump(t, strings.ReplaceAll(generatedDump(t, nil), "'Shipped'", "NULL"))
	require.Error(t, err)
	assert.Equal(t, 20, strings.Count(err.Error(), "column status: it may not be null"))
	assert.ErrorContains(t, err, "more problems may follow")
}

// What tools and shells make of a dump changes nothing of what is read.
func TestDumpsComeInManyForms(t *testing.T) {
	expected, err := readDump(t, small+undatedRatings)
	require.NoError(t, err)
	text := small + undatedRatings
	inserts := regexp.MustCompile(`INSERT INTO (\w+)`)
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, err = writer.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	wide := []byte{0xff, 0xfe}
	for i := range len(text) {
		wide = append(wide, text[i], 0)
	}
	for name, form := range map[string]string{
		"a byte order mark":    "\xef\xbb\xbf" + text,
		"carriage returns":     strings.ReplaceAll(text, "\n", "\r\n"),
		"gzip":                 packed.String(),
		"UTF-16 of a shell":    string(wide),
		"TRUNCATE before rows": inserts.ReplaceAllString(text, "TRUNCATE TABLE $1;\nINSERT INTO $1"),
		"DELETE before rows":   inserts.ReplaceAllString(text, "DELETE FROM $1;\nINSERT INTO $1"),
		"REPLACE":              strings.ReplaceAll(text, "INSERT INTO", "REPLACE INTO"),
		"INSERT IGNORE":        strings.ReplaceAll(text, "INSERT INTO", "INSERT IGNORE INTO"),
		"DROP before CREATE":   "DROP TABLE IF EXISTS ratings, `orders`;\n" + text,
		"names in double quotes": "SET sql_mode='ANSI_QUOTES';" + inserts.ReplaceAllString(text,
			`INSERT INTO "$1"`),
		"names with the database": inserts.ReplaceAllString(text, "INSERT INTO `ClassicModels`.`$1`"),
		"names in capitals":       inserts.ReplaceAllStringFunc(text, strings.ToUpper),
		"everything of a server": "CREATE TABLE mysql.user (a int); INSERT INTO mysql.user VALUES (1); " +
			"INSERT IGNORE INTO mysql.innodb_index_stats VALUES (1); USE sakila; CREATE TABLE actor (n int); INSERT " +
			"INTO actor VALUES (1);" + text + "USE sys; CREATE TABLE x (n int);",
		"a tool's first and last line": "-- MySQL dump 10.13  Distrib 8.4.6\n" + text +
			"-- Dump completed on 2026-01-01  1:02:03\n",
		"foreign keys and a view at last": text +
			"ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (customerNumber) REFERENCES customers " +
			"(customerNumber);\nCREATE VIEW v AS SELECT 1;",
		"ratings by ALTER and in a commit": strings.Replace(text, "CREATE TABLE ratings",
			"START TRANSACTION; CREATE TABLE ratings", 1) + "ALTER TABLE ratings ADD PRIMARY KEY (a,b); COMMIT;",
	} {
		t.Run(name, func(t *testing.T) {
			dump, err := readDump(t, form)
			require.NoError(t, err)
			assert.Equal(t, rows(t, expected), rows(t, dump))
			assert.Equal(t, texts(expected.Differences()), texts(dump.Differences()),
				"tables of other databases are nobody's affair")
		})
	}
}

func TestDumpsThatWouldBeMisreadAreRefused(t *testing.T) {
	replace := func(old, new string) string {
		require.Contains(t, small, old)
		return strings.Replace(small, old, new, 1)
	}
	for name, bad := range map[string]struct{ text, message string }{
		"tables of two databases": {replace("CREATE TABLE customers", "USE other;\nCREATE TABLE customers"),
			"table customers is of database other, while table"},
		"a table of another database twice": {small + "CREATE TABLE other.orders (a int);",
			"table orders is of database other, while table"},
		"rows for another database": {replace("INSERT INTO payments", "INSERT INTO other.payments"),
			"a row for table other.payments, which the file does not create before"},
		"rows before USE": {"INSERT INTO orders VALUES (1);\n" + small,
			"a row for table orders, which the file does not create before"},
		"a default": {strings.NewReplacer("state varchar(50) DEFAULT NULL,\n  postalCode",
			"state varchar(50) DEFAULT 'x',\n  postalCode").Replace(small),
			"table customers, column state: the row leaves it to the table's own default"},
		"a column that is not there": {replace("(customerNumber, customerName, contact",
			"(customerNumber, customerNames, contact"),
			"column customerNames: the row has a value for it, and the table no such column"},
		"a number as text": {replace("'59000'", "01234"),
			`the number "01234" would not be stored as it is written`},
		"an exponent as text": {replace("'59000'", "1e3"),
			`the number "1e3" would not be stored as it is written`},
		"a mixture of encodings": {strings.NewReplacer("'Lille'", "'Orl\xe9ans'", "'Wind'",
			"'Wïnd'").Replace(small), "text in utf8 after text in latin1"},
		"another mixture": {strings.NewReplacer("'Lille'", "'Orléans'", "'Wind'",
			"'W\xefnd'").Replace(small), "text in latin1 after text in utf8"},
		"UTF-8 announced as latin1": {strings.NewReplacer("SET NAMES utf8", "SET NAMES latin1", "'Lille'",
			"'Orléans'").Replace(small), "text in UTF-8 where the file announces latin1"},
		"a choice by its number": {strings.NewReplacer("status varchar(15)", "status enum('Shipped')",
			"NULL,'Shipped'", "NULL,1").Replace(small),
			"table orders, column status: the number of a choice, expected its text"},
		"bytes as text": {replace("'Lille'", "0xE9"), "bytes that are no UTF-8"},
		"a hexadecimal whole number": {replace("'V','d',5,1.50,3)", "'V','d',0x33,1.50,3)"),
			"column quantityInStock: a hexadecimal, bit or binary value"},
		"a bit as a whole number": {replace("'V','d',5,1.50,3)", "'V','d',b'110011',1.50,3)"),
			"column quantityInStock: a hexadecimal, bit or binary value"},
		"a hexadecimal decimal": {replace("'V','d',5,1.50,3)", "'V','d',5,X'33',3)"),
			"column buyPrice: a hexadecimal, bit or binary value"},
		"the year 0": {replace("'2020-03-20'", "'0000-00-00'"), `"0000-00-00" is not a date`},
		"a moment in an unknown zone": {small +
			"CREATE TABLE ratings (customerNumber int, productCode varchar(15), productRating int, ratedAt " +
			"timestamp);\nINSERT INTO ratings VALUES (7,'K1',5,'2020-01-02 03:04:05');",
			"column ratedAt: its type timestamp means a moment"},
		"UTF-16 with an accent": {"\xff\xfe-\x00-\x00 \x00\xe9\x00\n\x00",
			"the file is UTF-16 with characters beyond ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readDump(t, bad.text)
			require.ErrorContains(t, err, bad.message)
			var located *sqldump.Error
			require.ErrorAs(t, err, &located)
		})
	}
}

func TestTablesOfOthersMayHaveRowsOfAnySize(t *testing.T) {
	large := "0x" + strings.Repeat("41", 18<<20)
	others := "CREATE TABLE photos (a longblob);\nINSERT INTO photos VALUES (" + large + ");\n"
	dump, err := readDump(t, small+others)
	require.NoError(t, err)
	assert.NotContains(t, rows(t, dump), "photos")
	_, err = readDump(t, strings.Replace(small, "0x00FF10", large, 1))
	require.ErrorContains(t, err, "longer than")
}

func TestMomentsInUTCAreRead(t *testing.T) {
	dump, err := readDump(t,
		"SET TIME_ZONE='+00:00';"+small+"CREATE TABLE ratings (customerNumber int, productCode varchar(15), "+
			"productRating int, ratedAt timestamp);\nINSERT INTO ratings VALUES (7,'K1',5,'2020-01-02 03:04:05');")
	require.NoError(t, err)
	assert.Equal(t, "2020-01-02 03:04:05", rows(t, dump)["ratings"][0]["ratedAt"])
}

func TestAnnouncedLatin1IsDecoded(t *testing.T) {
	dump, err := readDump(t, strings.NewReplacer("SET NAMES utf8", "SET NAMES latin1", "'Lille'", "'Orl\xe9ans'",
		"INSERT INTO customers", "SET NAMES utf8mb4;\nINSERT INTO customers").Replace(small))
	require.NoError(t, err)
	assert.Equal(t, "Orléans", rows(t, dump)["offices"][0]["city"])
}

func TestScanVisitsRowsInTheFilesOrderWithTheirLines(t *testing.T) {
	var visited []string
	summary, err := classicmodels.ScanDump(t.Context(), "my/shop.sql", strings.NewReader(small+undatedRatings),
		func(table *classicmodels.Table, row []classicmodels.Value, line int) error {
			require.Len(t, row, len(table.Columns))
			visited = append(visited, fmt.Sprint(table.Name, " ", row[0].String(), " ", line))
			return nil
		})
	require.NoError(t, err)
	line := 1 + strings.Count(small, "\n")
	assert.Equal(t, []string{"offices 1 8", "employees 1 12"}, visited[:2])
	assert.Equal(t, []string{fmt.Sprint("ratings 7 ", line+1), fmt.Sprint("ratings 7 ", line+1)},
		visited[len(visited)-2:])
	assert.Equal(t, classicmodels.RatingsUndated, summary.Ratings())
	assert.Equal(t, "2020-03-21", summary.Now().Format(time.DateOnly))

	stop := errors.New("enough")
	_, err = classicmodels.ScanDump(t.Context(), "my/shop.sql", strings.NewReader(small),
		func(*classicmodels.Table, []classicmodels.Value, int) error { return stop })
	require.ErrorIs(t, err, stop)
	_, err = classicmodels.ScanDump(t.Context(), "my/shop.sql",
		strings.NewReader(strings.Replace(small, "'France'", "NULL", 1)),
		func(table *classicmodels.Table, _ []classicmodels.Value, _ int) error {
			return fmt.Errorf("a row of %s was visited after one that was refused", table.Name)
		})
	require.ErrorContains(t, err, "column country: it may not be null")
	assert.NotContains(t, err.Error(), "was visited")
}

// Whatever the bytes are, the answer is a database that can be written, or an error.
func FuzzReadDump(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(small + undatedRatings))
	f.Add([]byte(strings.Replace(small, "'Wind'", "'W\xefnd\\'", 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		dump, err := classicmodels.ReadDump(t.Context(), "fuzz.sql", bytes.NewReader(data))
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		written := memory{}
		_, err = classicmodels.WriteTraining(t.Context(), dump, written.create)
		require.NoError(t, err)
		_, err = classicmodels.WriteSQL(t.Context(), dump, written.create)
		require.NoError(t, err)
		again, err := readDump(t, written["classicmodels.sql"].String())
		require.NoError(t, err)
		require.Equal(t, rows(t, dump), rows(t, again))
	})
}
