-- Takes away a product that nobody has ordered or rated. Parameter: its code.
DELETE FROM classicmodels.products
WHERE productCode = ?
    AND productCode NOT IN (SELECT d.productCode FROM classicmodels.orderdetails AS d)
    AND productCode NOT IN (SELECT r.productCode FROM classicmodels.ratings AS r);
