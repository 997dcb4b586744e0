-- Runs as the login role of the loader: the master user on RDS, which is no superuser.
-- Statements are separated by a semicolon and an empty line; each is sent on its own.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'vector_owner') THEN
        CREATE ROLE vector_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'inference_reader') THEN
        CREATE ROLE inference_reader LOGIN;
    END IF;
    -- Only the creator of a role holds ADMIN on it; a later loader that already is a member has
    -- nothing to grant.
    IF NOT pg_catalog.pg_has_role(current_user, 'vector_owner', 'SET') THEN
        EXECUTE format('GRANT vector_owner TO %I WITH INHERIT TRUE, SET TRUE', current_user);
    END IF;
    -- On RDS this role makes the login one by IAM token. The master user must never have it: its
    -- password would stop working.
    IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO inference_reader;
    END IF;
END
$$;

CREATE SCHEMA IF NOT EXISTS vectors AUTHORIZATION vector_owner;

DO $$
BEGIN
    -- The course queries item_emb and user_emb without a schema.
    EXECUTE format('ALTER DATABASE %I SET search_path = vectors, public', current_database());
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inference_reader', current_database());
END
$$;

-- Parameters of an extension can be set by its users only after its library is loaded, which using
-- the type does.
SELECT '[1]'::public.vector;

DO $$
BEGIN
    ALTER ROLE inference_reader SET search_path = vectors, public;
    ALTER ROLE inference_reader SET default_transaction_read_only = on;
    ALTER ROLE inference_reader SET statement_timeout = '5s';
    -- Without it an index scan that a filter thins out returns fewer rows than asked for.
    ALTER ROLE inference_reader SET hnsw.iterative_scan = 'strict_order';
    -- How many candidates an index scan looks at: docs/vectors.md has what is found with how many.
    ALTER ROLE inference_reader SET hnsw.ef_search = 200;
END
$$;
