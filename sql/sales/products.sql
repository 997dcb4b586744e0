-- What can be sold.
SELECT productCode, TRIM(productName) AS productName, TRIM(productLine) AS productLine
FROM classicmodels.products
ORDER BY productCode;
