-- The record of the load, without waiting for anybody.
SELECT kind, detail, generator, seed, scale, strength, advance_days, row_count, loaded_at
FROM diecast.source_load;
