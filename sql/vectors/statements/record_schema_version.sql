-- $1 version
INSERT INTO vectors.schema_version AS s (version) VALUES ($1)
ON CONFLICT (one_row) DO UPDATE SET version = excluded.version WHERE s.version < excluded.version;
