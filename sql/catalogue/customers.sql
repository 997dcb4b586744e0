-- The numbers of all customers, and nothing else of them.
SELECT customerNumber
FROM classicmodels.customers
ORDER BY customerNumber;
