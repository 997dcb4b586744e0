SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'vector';
