SELECT s.version FROM vectors.schema_version AS s;
