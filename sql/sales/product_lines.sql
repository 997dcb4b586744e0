-- The product lines, those without products included.
SELECT TRIM(productLine) AS productLine
FROM classicmodels.productlines
ORDER BY productLine;
