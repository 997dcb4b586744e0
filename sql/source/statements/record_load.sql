-- Parameters: kind, detail; generator, seed, scale and strength, which are null for a dump; rows.
INSERT INTO diecast.source_load (kind, detail, generator, seed, scale, strength, row_count)
VALUES (?, ?, ?, ?, ?, ?, ?);
