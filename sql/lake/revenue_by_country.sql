-- Revenue, customers and orders by the customers' country, the greatest first.
SELECT customers.country, SUM(CAST(sales.revenue AS decimal(20,2))) AS revenue,
  COUNT(DISTINCT sales.customerNumber) AS customers, COUNT(DISTINCT sales.orderNumber) AS orders
FROM sales
JOIN customers ON customers.customerNumber = sales.customerNumber
GROUP BY customers.country
ORDER BY revenue DESC, customers.country;
