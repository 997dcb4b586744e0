-- Every line of every order that was not cancelled, in the order of days: the facts of the pages.
-- Money is in whole cents: quantity x price has two decimals, so that nothing is rounded.
SELECT orders.orderNumber, orders.orderDate, TRIM(customers.country) AS country, orderdetails.productCode,
  orderdetails.quantityOrdered,
  CAST(orderdetails.quantityOrdered * orderdetails.priceEach * 100 AS SIGNED) AS cents
FROM classicmodels.orders
JOIN classicmodels.customers ON customers.customerNumber = orders.customerNumber
JOIN classicmodels.orderdetails ON orderdetails.orderNumber = orders.orderNumber
WHERE LOWER(TRIM(orders.status)) <> 'cancelled'
ORDER BY orders.orderDate, orders.orderNumber;
