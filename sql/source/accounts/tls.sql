-- For a server that the loader itself reaches by TLS: then nobody comes without.

ALTER USER 'owner'@'%' REQUIRE SSL;

ALTER USER 'etl_reader'@'%' REQUIRE SSL;

ALTER USER 'web_reader'@'%' REQUIRE SSL;
