-- Parameters: the version, twice.
INSERT INTO diecast.source_schema (version) VALUES (?)
ON DUPLICATE KEY UPDATE version = ?;
