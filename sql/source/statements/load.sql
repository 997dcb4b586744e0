-- The record of the load. Nobody else loads or advances until the transaction ends.
SELECT kind, detail, generator, seed, scale, strength, advance_days, row_count, loaded_at
FROM diecast.source_load
FOR UPDATE;
