package classicmodels_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
const small = `-- MySQL dump
/*!40101 SET NAMES utf8 */;
CREATE DATABASE /*!32312 IF NOT EXISTS*/ ` + "`classicmodels`" + `;
USE classicmodels;
CREATE TABLE offices (officeCode varchar(10) NOT NULL, city varchar(50) NOT NULL, phone varchar(50) NOT NULL, addressLine1 varchar(50) NOT NULL,
  addressLine2 varchar(50) DEFAULT NULL, state varchar(50) DEFAULT NULL, country varchar(50) NOT NULL, postalCode varchar(15) NOT NULL,
  territory varchar(10) NOT NULL, PRIMARY KEY (officeCode));
INSERT INTO offices VALUES ('1','Lille','+33','rue 1',NULL,NULL,'France','59000','EMEA');
CREATE TABLE employees (employeeNumber int(11) NOT NULL, lastName varchar(50) NOT NULL, firstName varchar(50) NOT NULL, extension varchar(10) NOT NULL,
  email varchar(100) NOT NULL, officeCode varchar(10) NOT NULL, reportsTo int(11) DEFAULT NULL, jobTitle varchar(50) NOT NULL, PRIMARY KEY (employeeNumber),
  KEY reportsTo (reportsTo), CONSTRAINT employees_ibfk_1 FOREIGN KEY (reportsTo) REFERENCES employees (employeeNumber));
INSERT INTO employees VALUES (1,'Doe','J','x1','j@shop.example','1',NULL,'Sales Rep');
CREATE TABLE productlines (productLine varchar(50) NOT NULL, textDescription varchar(4000) DEFAULT NULL, htmlDescription mediumtext, image mediumblob,
  PRIMARY KEY (productLine)) ENGINE=InnoDB DEFAULT CHARSET=latin1;
INSERT INTO productlines VALUES ('Kites','it''s \"light\"; really',NULL,0x00FF10);
CREATE TABLE products (productCode varchar(15) NOT NULL, productName varchar(70) NOT NULL, productLine varchar(50) NOT NULL, productScale varchar(10) NOT NULL,
  productVendor varchar(50) NOT NULL, productDescription text NOT NULL, quantityInStock smallint(6) NOT NULL, buyPrice decimal(10,2) NOT NULL,
  MSRP decimal(10,2) NOT NULL, PRIMARY KEY (productCode));
INSERT INTO products VALUES ('K1','Kite','Kites','1:1','V','d',5,1.50,3),('K2','Box kite','Kites','1:1','V','d',5,1.5,3.00),('K3','Stunt kite','Kites','1:1','V','d',-2,1,3.0);
CREATE TABLE customers (customerNumber int(11) NOT NULL, customerName varchar(50) NOT NULL, contactLastName varchar(50) NOT NULL, contactFirstName varchar(50) NOT NULL,
  phone varchar(50) NOT NULL, addressLine1 varchar(50) NOT NULL, addressLine2 varchar(50) DEFAULT NULL, city varchar(50) NOT NULL, state varchar(50) DEFAULT NULL,
  postalCode varchar(15) DEFAULT NULL, country varchar(50) NOT NULL, salesRepEmployeeNumber int(11) DEFAULT NULL, creditLimit decimal(10,2) DEFAULT NULL, PRIMARY KEY (customerNumber));
INSERT INTO customers (customerNumber, customerName, contactLastName, contactFirstName, phone, addressLine1, city, country, creditLimit) VALUES
  (7,'Wind','B','A','1','a','Oslo','Norway  ',100.00);
CREATE TABLE orders (orderNumber int(11) NOT NULL, orderDate date NOT NULL, requiredDate date NOT NULL, shippedDate date DEFAULT NULL, status varchar(15) NOT NULL,
  comments text, customerNumber int(11) NOT NULL, PRIMARY KEY (orderNumber));
INSERT INTO orders VALUES (1,'2020-01-01','2020-01-09',NULL,'Shipped',NULL,7),(2,'2020-03-01','2020-03-09','2020-03-02','Shipped','ok',7);
CREATE TABLE orderdetails (orderNumber int(11) NOT NULL, productCode varchar(15) NOT NULL, quantityOrdered int(11) NOT NULL, priceEach decimal(10,2) NOT NULL,
  orderLineNumber smallint(6) NOT NULL, PRIMARY KEY (orderNumber,productCode));
INSERT INTO orderdetails VALUES (1,'K1',10,3.00,1),(1,'K2',99,3.00,2),(2,'K1',1,2.99,1),(2,'K3',5,3.00,2);
CREATE TABLE payments (customerNumber int(11) NOT NULL, checkNumber varchar(50) NOT NULL, paymentDate date NOT NULL, amount decimal(10,2) NOT NULL,
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
	assert.Equal(t, []string{"table ratings: is missing: ratings are derived from the orders"}, texts(dump.Differences()))
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
	assert.Equal(t, map[string]string{"productLine": "Kites", "textDescription": `it's "light"; really`, "image": "\x00\xff\x10"}, all["productlines"][0])
	assert.Equal(t, "-2", all["products"][2]["quantityInStock"])
	assert.Equal(t, []string{"1.50", "1.50", "1.00"}, []string{all["products"][0]["buyPrice"], all["products"][1]["buyPrice"], all["products"][2]["buyPrice"]})
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
		"empty file":        {"", []string{"table offices: is missing", "table customers: is missing", "table payments: is missing"}, ""},
		"missing table":     {strings.Replace(replace("CREATE TABLE payments (", "CREATE TABLE payed ("), "INTO payments", "INTO payed", 1), []string{"table payments: is missing"}, ""},
		"missing column":    {replace("territory varchar", "region varchar"), []string{"table offices, column territory: is missing"}, ""},
		"other type":        {replace("orderDate date", "orderDate int"), []string{"table orders, column orderDate: has type int, expected date"}, ""},
		"truncated row":     {small[:strings.Index(small, "2.99,1")], []string{"truncated"}, "INSERT INTO orderdetails"},
		"truncated text":    {small[:strings.Index(small, "Stunt ")], []string{"truncated"}, "'Kite'"},
		"too few values":    {replace("(7,'AB1','2020-03-20',30.00)", "(7,'AB1',30.00)"), []string{"table payments", "3 values for 4 columns"}, "INSERT INTO payments"},
		"not a number":      {replace("99,3.00,2", "'many',3.00,2"), []string{"table orderdetails, column quantityOrdered", "\"many\""}, "INSERT INTO orderdetails"},
		"number too large":  {replace("'d',-2", "'d',40000"), []string{"quantityInStock", "range of smallint"}, "INSERT INTO products"},
		"too many digits":   {replace("30.00", "30.001"), []string{"amount", "decimal(10,2)"}, "INSERT INTO payments"},
		"no such day":       {replace("2020-03-20", "2020-02-30"), []string{"paymentDate", "2020-02-30"}, "INSERT INTO payments"},
		"null":              {replace("'AB1'", "NULL"), []string{"checkNumber", "may not be null"}, "INSERT INTO payments"},
		"text too long":     {replace("'Kite'", "'"+strings.Repeat("é", 71)+"'"), []string{"productName", "71 characters"}, "INSERT INTO products"},
		"double key":        {replace("(2,'2020-03-01'", "(1,'2020-03-01'"), []string{"table orders: key 1 is there twice"}, ""},
		"dangling key":      {replace("(2,'K3',5", "(2,'K9',5"), []string{"table orderdetails: productCode k9 of row 2/k9 is not in products"}, ""},
		"rating of six":     {small + strings.Replace(undatedRatings, "',5)", "',6)", 1), []string{"6 is not a rating"}, "INSERT INTO ratings"},
		"row before table":  {"INSERT INTO offices VALUES (1);" + small, []string{"a row for table offices"}, "INSERT INTO offices"},
		"a function":        {replace("30.00", "round(3)"), []string{"only literals"}, "INSERT INTO payments"},
		"an update":         {small + "UPDATE orders SET status = 'Lost';", []string{"UPDATE is not read"}, "UPDATE"},
		"several at a time": {strings.Replace(replace("99,3.00,2", "'many',3.00,2"), "30.00", "x'zz'", 1), []string{"many", "hexadecimal"}, ""},
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
	text := strings.NewReplacer("territory varchar(10) NOT NULL", "territory varchar(20)", "'EMEA'", "'EMEA',1", ", PRIMARY KEY (officeCode)", ", floor int, PRIMARY KEY (officeCode)").Replace(small)
	dump, err := readDump(t, text+undatedRatings+"CREATE TABLE zebras (n int); INSERT INTO zebras VALUES (1); CREATE TABLE apes (n int);")
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
