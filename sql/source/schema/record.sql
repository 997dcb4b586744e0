-- What the loader knows of the source lies beside it, where its readers have no rights to write.

CREATE DATABASE IF NOT EXISTS diecast CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci;

CREATE TABLE IF NOT EXISTS diecast.source_schema (
    one_row tinyint NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one_row = 1),
    version int NOT NULL CHECK (version > 0)
) ENGINE=InnoDB;

-- The one row says that a load is complete: it is committed together with all that was loaded.
-- Without it the source is empty, or its rows are somebody else's.
CREATE TABLE IF NOT EXISTS diecast.source_load (
    one_row tinyint NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one_row = 1),
    kind varchar(10) NOT NULL CHECK (kind IN ('sample', 'dump')),
    detail varchar(2000) NOT NULL,
    -- Of a sample only: what generated it, and how many days it has lived on.
    generator int,
    seed bigint unsigned,
    scale double,
    strength double,
    advance_days int NOT NULL DEFAULT 0,
    row_count bigint NOT NULL,
    loaded_at datetime NOT NULL DEFAULT CURRENT_TIMESTAMP
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci;
