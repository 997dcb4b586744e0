-- What the shop sells, with its recommended price in whole cents and how many are in stock.
SELECT productCode, TRIM(productName) AS productName, TRIM(productLine) AS productLine,
  CAST(MSRP * 100 AS SIGNED) AS cents, quantityInStock
FROM classicmodels.products
ORDER BY productCode;
