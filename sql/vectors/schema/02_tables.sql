SET LOCAL ROLE vector_owner;

CREATE TABLE IF NOT EXISTS vectors.schema_version (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version integer NOT NULL CHECK (version > 0)
);

-- One row for every model that was ever loaded; 'retired' and 'rejected' ones have no vectors left.
CREATE TABLE IF NOT EXISTS vectors.versions (
    model_version text PRIMARY KEY CHECK (model_version ~ '^[0-9a-f]{12}$'),
    origin text NOT NULL CHECK (origin IN ('shipped', 'trained')),
    state text NOT NULL CHECK (state IN ('loaded', 'rejected', 'retired')),
    towers boolean NOT NULL,
    search text NOT NULL CHECK (search IN ('exact', 'hnsw')),
    item_count integer NOT NULL CHECK (item_count > 0),
    user_count integer NOT NULL CHECK (user_count >= 0),
    reason text,
    loaded_at timestamptz NOT NULL DEFAULT now()
);

-- A partition per model: an index then covers one model only, and dropping a model leaves no dead
-- rows.
CREATE TABLE IF NOT EXISTS vectors.item_embeddings (
    model_version text NOT NULL,
    id varchar NOT NULL CHECK (id <> ''),
    embedding public.vector(32) NOT NULL,
    PRIMARY KEY (model_version, id)
) PARTITION BY LIST (model_version);

CREATE TABLE IF NOT EXISTS vectors.user_embeddings (
    model_version text NOT NULL,
    id integer NOT NULL,
    embedding public.vector(32) NOT NULL,
    PRIMARY KEY (model_version, id)
) PARTITION BY LIST (model_version);

-- The pointer: what every reader sees changes with this one row.
CREATE TABLE IF NOT EXISTS vectors.active (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    model_version text NOT NULL REFERENCES vectors.versions,
    previous_version text REFERENCES vectors.versions,
    switched_at timestamptz NOT NULL DEFAULT now(),
    CHECK (previous_version <> model_version)
);

-- Where a refreshed model comes from, see the manifest of ML artifacts; run_id and run_created_at
-- are those of the run whose catalogue the model was last seen to have, in the bucket lake.
ALTER TABLE vectors.versions
    ADD COLUMN IF NOT EXISTS base_version text,
    ADD COLUMN IF NOT EXISTS run_id text,
    ADD COLUMN IF NOT EXISTS run_created_at timestamptz,
    ADD COLUMN IF NOT EXISTS lake text;

-- Every move of the pointer, and who asked for it by their own account.
CREATE TABLE IF NOT EXISTS vectors.switches (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_version text NOT NULL REFERENCES vectors.versions,
    previous_version text REFERENCES vectors.versions,
    switched_at timestamptz NOT NULL DEFAULT now(),
    switched_by text NOT NULL
);
