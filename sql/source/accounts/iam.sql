-- For a server that checks IAM tokens, which is RDS for MySQL: people and programs log in with a
-- token, by TLS, and nobody has a password. The plugin is RDS's own; no other server has it.

CREATE USER IF NOT EXISTS 'owner'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;

CREATE USER IF NOT EXISTS 'etl_reader'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;

CREATE USER IF NOT EXISTS 'web_reader'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;
