// Package classicmodels makes and reads the sample data: the database of a shop for scale models in
// the shape of the classicmodels sample (nine tables), generated from a seed or read from the
// user's own dump, and the customers' activity.
//
// Everything generated is a pure function of the Options: entity i of a kind has a random stream of
// its own, so any part can be made without the rest, at any scale, in the same memory. Only
// integers are computed with, so the bytes are the same on every machine. Nothing is copied from
// the original's rows. The package knows no network and no engine.
package classicmodels

import "slices"

// Kind is what a column holds.
type Kind int

// The kinds of value that the nine tables use.
const (
	Integer   Kind = iota // int, smallint
	Decimal               // decimal(10,2), kept in hundredths
	Text                  // varchar, text
	Bytes                 // mediumblob
	Date                  // date
	Timestamp             // datetime, UTC, whole seconds
)

// Column of a table.
type Column struct {
	Name string
	// Type is the SQL type, lower case, as MySQL 8.4 prints it: varchar(50), decimal(10,2).
	Type     string
	Nullable bool
	Kind     Kind
	// Length is the most characters a text column holds; 0 is the type's own limit.
	Length int
}

// ForeignKey of one column to another table's primary key.
type ForeignKey struct{ Column, Table, References string }

// Table of the database.
type Table struct {
	Name        string
	Columns     []Column
	PrimaryKey  []string
	ForeignKeys []ForeignKey
}

// Index is the position of a column, or -1.
func (t *Table) Index(column string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == column })
}

// ColumnNames in their order.
func (t *Table) ColumnNames() []string {
	names := make([]string, len(t.Columns))
	for i, column := range t.Columns {
		names[i] = column.Name
	}
	return names
}

func integer(name string) Column  { return Column{Name: name, Type: "int", Kind: Integer} }
func smallint(name string) Column { return Column{Name: name, Type: "smallint", Kind: Integer} }
func money(name string) Column    { return Column{Name: name, Type: "decimal(10,2)", Kind: Decimal} }
func date(name string) Column     { return Column{Name: name, Type: "date", Kind: Date} }
func varchar(name string, length int) Column {
	return Column{Name: name, Type: "varchar(" + itoa(length) + ")", Kind: Text, Length: length}
}
func null(c Column) Column { c.Nullable = true; return c }

// Names of the nine tables.
const (
	Offices      = "offices"
	Employees    = "employees"
	ProductLines = "productlines"
	Products     = "products"
	Customers    = "customers"
	Orders       = "orders"
	OrderDetails = "orderdetails"
	Payments     = "payments"
	Ratings      = "ratings"
)

// Schema is the nine tables, each after those that it refers to. Columns and types are the sample
// database's; ratings adds the course's table and, of our own, ratedAt.
var Schema = []*Table{
	{
		Name: Offices, PrimaryKey: []string{"officeCode"},
		Columns: []Column{
			varchar("officeCode", 10), varchar("city", 50), varchar("phone", 50), varchar("addressLine1", 50),
			null(varchar("addressLine2", 50)), null(varchar("state", 50)), varchar("country", 50),
			varchar("postalCode", 15),
			varchar("territory", 10),
		},
	},
	{
		Name: Employees, PrimaryKey: []string{"employeeNumber"},
		Columns: []Column{
			integer("employeeNumber"), varchar("lastName", 50), varchar("firstName", 50), varchar("extension", 10),
			varchar("email", 100), varchar("officeCode", 10), null(integer("reportsTo")), varchar("jobTitle", 50),
		},
		ForeignKeys: []ForeignKey{{"reportsTo", Employees, "employeeNumber"}, {"officeCode", Offices, "officeCode"}},
	},
	{
		Name: ProductLines, PrimaryKey: []string{"productLine"},
		Columns: []Column{
			varchar("productLine", 50), null(varchar("textDescription", 4000)),
			{Name: "htmlDescription", Type: "mediumtext", Nullable: true, Kind: Text},
			{Name: "image", Type: "mediumblob", Nullable: true, Kind: Bytes},
		},
	},
	{
		Name: Products, PrimaryKey: []string{"productCode"},
		Columns: []Column{
			varchar("productCode", 15), varchar("productName", 70), varchar("productLine", 50),
			varchar("productScale", 10),
			varchar("productVendor", 50), {Name: "productDescription", Type: "text", Kind: Text, Length: 65535},
			smallint("quantityInStock"), money("buyPrice"), money("MSRP"),
		},
		ForeignKeys: []ForeignKey{{"productLine", ProductLines, "productLine"}},
	},
	{
		Name: Customers, PrimaryKey: []string{"customerNumber"},
		Columns: []Column{
			integer("customerNumber"), varchar("customerName", 50), varchar("contactLastName", 50),
			varchar("contactFirstName", 50), varchar("phone", 50), varchar("addressLine1", 50),
			null(varchar("addressLine2", 50)),
			varchar("city", 50), null(varchar("state", 50)), null(varchar("postalCode", 15)), varchar("country", 50),
			null(integer("salesRepEmployeeNumber")), null(money("creditLimit")),
		},
		ForeignKeys: []ForeignKey{{"salesRepEmployeeNumber", Employees, "employeeNumber"}},
	},
	{
		Name: Orders, PrimaryKey: []string{"orderNumber"},
		Columns: []Column{
			integer("orderNumber"), date("orderDate"), date("requiredDate"), null(date("shippedDate")),
			varchar("status", 15),
			{Name: "comments", Type: "text", Nullable: true, Kind: Text, Length: 65535}, integer("customerNumber"),
		},
		ForeignKeys: []ForeignKey{{"customerNumber", Customers, "customerNumber"}},
	},
	{
		Name: OrderDetails, PrimaryKey: []string{"orderNumber", "productCode"},
		Columns: []Column{
			integer("orderNumber"), varchar("productCode", 15), integer("quantityOrdered"), money("priceEach"),
			smallint("orderLineNumber"),
		},
		ForeignKeys: []ForeignKey{{"orderNumber", Orders, "orderNumber"}, {"productCode", Products, "productCode"}},
	},
	{
		Name: Payments, PrimaryKey: []string{"customerNumber", "checkNumber"},
		Columns: []Column{integer("customerNumber"), varchar("checkNumber", 50), date("paymentDate"), money("amount")},
		ForeignKeys: []ForeignKey{
			{"customerNumber", Customers, "customerNumber"},
		},
	},
	{
		Name: Ratings, PrimaryKey: []string{"customerNumber", "productCode"},
		Columns: []Column{
			integer("customerNumber"), varchar("productCode", 15), integer("productRating"),
			{Name: "ratedAt", Type: "datetime", Kind: Timestamp},
		},
		ForeignKeys: []ForeignKey{{"customerNumber", Customers, "customerNumber"},
			{"productCode", Products, "productCode"}},
	},
}

// TableNamed finds a table of the schema, or nil.
func TableNamed(name string) *Table {
	for _, table := range Schema {
		if table.Name == name {
			return table
		}
	}
	return nil
}
