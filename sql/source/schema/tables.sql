-- The nine tables of classicmodels, for MySQL 8.4 and MariaDB 11.4. Runs as the login of the
-- loader: the master user on RDS. Statements are separated by a semicolon and an empty line; each
-- is sent on its own. A table that is there stays as it is.

CREATE DATABASE IF NOT EXISTS classicmodels CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.offices (
    officeCode varchar(10) NOT NULL,
    city varchar(50) NOT NULL,
    phone varchar(50) NOT NULL,
    addressLine1 varchar(50) NOT NULL,
    addressLine2 varchar(50),
    state varchar(50),
    country varchar(50) NOT NULL,
    postalCode varchar(15) NOT NULL,
    territory varchar(10) NOT NULL,
    PRIMARY KEY (officeCode)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.employees (
    employeeNumber int NOT NULL,
    lastName varchar(50) NOT NULL,
    firstName varchar(50) NOT NULL,
    extension varchar(10) NOT NULL,
    email varchar(100) NOT NULL,
    officeCode varchar(10) NOT NULL,
    reportsTo int,
    jobTitle varchar(50) NOT NULL,
    PRIMARY KEY (employeeNumber),
    FOREIGN KEY (reportsTo) REFERENCES classicmodels.employees (employeeNumber),
    FOREIGN KEY (officeCode) REFERENCES classicmodels.offices (officeCode)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.productlines (
    productLine varchar(50) NOT NULL,
    textDescription varchar(4000),
    htmlDescription mediumtext,
    image mediumblob,
    PRIMARY KEY (productLine)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.products (
    productCode varchar(15) NOT NULL,
    productName varchar(70) NOT NULL,
    productLine varchar(50) NOT NULL,
    productScale varchar(10) NOT NULL,
    productVendor varchar(50) NOT NULL,
    productDescription text NOT NULL,
    quantityInStock smallint NOT NULL,
    buyPrice decimal(10,2) NOT NULL,
    MSRP decimal(10,2) NOT NULL,
    PRIMARY KEY (productCode),
    FOREIGN KEY (productLine) REFERENCES classicmodels.productlines (productLine)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.customers (
    customerNumber int NOT NULL,
    customerName varchar(50) NOT NULL,
    contactLastName varchar(50) NOT NULL,
    contactFirstName varchar(50) NOT NULL,
    phone varchar(50) NOT NULL,
    addressLine1 varchar(50) NOT NULL,
    addressLine2 varchar(50),
    city varchar(50) NOT NULL,
    state varchar(50),
    postalCode varchar(15),
    country varchar(50) NOT NULL,
    salesRepEmployeeNumber int,
    creditLimit decimal(10,2),
    PRIMARY KEY (customerNumber),
    FOREIGN KEY (salesRepEmployeeNumber) REFERENCES classicmodels.employees (employeeNumber)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.orders (
    orderNumber int NOT NULL,
    orderDate date NOT NULL,
    requiredDate date NOT NULL,
    shippedDate date,
    status varchar(15) NOT NULL,
    comments text,
    customerNumber int NOT NULL,
    PRIMARY KEY (orderNumber),
    FOREIGN KEY (customerNumber) REFERENCES classicmodels.customers (customerNumber)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.orderdetails (
    orderNumber int NOT NULL,
    productCode varchar(15) NOT NULL,
    quantityOrdered int NOT NULL,
    priceEach decimal(10,2) NOT NULL,
    orderLineNumber smallint NOT NULL,
    PRIMARY KEY (orderNumber, productCode),
    FOREIGN KEY (orderNumber) REFERENCES classicmodels.orders (orderNumber),
    FOREIGN KEY (productCode) REFERENCES classicmodels.products (productCode)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.payments (
    customerNumber int NOT NULL,
    checkNumber varchar(50) NOT NULL,
    paymentDate date NOT NULL,
    amount decimal(10,2) NOT NULL,
    PRIMARY KEY (customerNumber, checkNumber),
    FOREIGN KEY (customerNumber) REFERENCES classicmodels.customers (customerNumber)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS classicmodels.ratings (
    customerNumber int NOT NULL,
    productCode varchar(15) NOT NULL,
    productRating int NOT NULL,
    ratedAt datetime NOT NULL,
    PRIMARY KEY (customerNumber, productCode),
    FOREIGN KEY (customerNumber) REFERENCES classicmodels.customers (customerNumber),
    FOREIGN KEY (productCode) REFERENCES classicmodels.products (productCode)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
