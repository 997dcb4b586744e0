-- Revenue, orders and lines by month.
SELECT year(CAST(orderDate AS date)) AS year, month(CAST(orderDate AS date)) AS month,
  SUM(CAST(revenue AS decimal(20,2))) AS revenue,
  COUNT(DISTINCT orderNumber) AS orders, COUNT(*) AS lines
FROM sales
GROUP BY 1, 2
ORDER BY 1, 2;
