-- The twenty products with the greatest revenue.
SELECT products.productCode, products.productName, products.productLine,
  SUM(CAST(sales.revenue AS decimal(20,2))) AS revenue,
  SUM(
    CASE WHEN LOWER(TRIM(sales.status)) <> 'cancelled' THEN CAST(sales.quantityOrdered AS integer) ELSE 0 END
  ) AS pieces
FROM sales
JOIN products ON products.productCode = sales.productCode
GROUP BY products.productCode, products.productName, products.productLine
ORDER BY revenue DESC, products.productCode
LIMIT 20;
