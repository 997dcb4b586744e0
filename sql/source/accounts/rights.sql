-- The owner changes rows and tables of the source, and nothing else on the server.
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW, LOCK TABLES
    ON classicmodels.* TO 'owner'@'%';

-- The job reads what the training set and the sales mart are made of: no payments, no employees. It
-- needs whole tables, because it reports columns that are new.
GRANT SELECT ON classicmodels.ratings TO 'etl_reader'@'%';

GRANT SELECT ON classicmodels.products TO 'etl_reader'@'%';

GRANT SELECT ON classicmodels.productlines TO 'etl_reader'@'%';

GRANT SELECT ON classicmodels.customers TO 'etl_reader'@'%';

GRANT SELECT ON classicmodels.orders TO 'etl_reader'@'%';

GRANT SELECT ON classicmodels.orderdetails TO 'etl_reader'@'%';

GRANT SELECT ON diecast.source_load TO 'etl_reader'@'%';

-- The web servers show sales: of customers they see where they live, not who they are.
GRANT SELECT ON classicmodels.products TO 'web_reader'@'%';

GRANT SELECT ON classicmodels.productlines TO 'web_reader'@'%';

GRANT SELECT (customerNumber, city, state, country) ON classicmodels.customers TO 'web_reader'@'%';

GRANT SELECT (orderNumber, orderDate, requiredDate, shippedDate, status, customerNumber)
    ON classicmodels.orders TO 'web_reader'@'%';

GRANT SELECT ON classicmodels.orderdetails TO 'web_reader'@'%';
