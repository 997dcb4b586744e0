-- For any other server: the users are there and locked, until whoever runs the server gives them a
-- password and unlocks them.

CREATE USER IF NOT EXISTS 'owner'@'%' ACCOUNT LOCK;

CREATE USER IF NOT EXISTS 'etl_reader'@'%' ACCOUNT LOCK;

CREATE USER IF NOT EXISTS 'web_reader'@'%' ACCOUNT LOCK;
