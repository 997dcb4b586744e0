-- Parameters: days since the load, detail, rows that came and went since the last record.
UPDATE diecast.source_load
SET advance_days = ?, detail = ?, row_count = row_count + ?;
