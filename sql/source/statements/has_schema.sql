-- Counts 1 where an earlier loader has been.
SELECT count(*) FROM information_schema.tables
WHERE table_schema = 'diecast' AND table_name = 'source_schema';
