-- The version of the schema, no row where there is none.
SELECT version FROM diecast.source_schema;
