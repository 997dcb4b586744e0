-- Runs as the login role of the loader: the master user on RDS, which is no superuser.
-- Statements are separated by a semicolon and an empty line; each is sent on its own.

CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;

DO $$
DECLARE
    reader text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'vector_owner') THEN
        CREATE ROLE vector_owner NOLOGIN;
    END IF;
    -- Only the creator of a role holds ADMIN on it; a later loader that already is a member has
    -- nothing to grant.
    IF NOT pg_catalog.pg_has_role(current_user, 'vector_owner', 'SET') THEN
        EXECUTE format('GRANT vector_owner TO %I WITH INHERIT TRUE, SET TRUE', current_user);
    END IF;
    FOREACH reader IN ARRAY ARRAY['inference_reader', 'web_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = reader) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', reader);
        END IF;
        -- On RDS this role makes the login one by IAM token. The master user must never have it:
        -- its password would stop working.
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', reader);
        END IF;
    END LOOP;
END
$$;

CREATE SCHEMA IF NOT EXISTS vectors AUTHORIZATION vector_owner;

DO $$
BEGIN
    -- The course queries item_emb and user_emb without a schema.
    EXECUTE format('ALTER DATABASE %I SET search_path = vectors, public', current_database());
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO inference_reader, web_reader',
        current_database());
END
$$;

-- Parameters of an extension can be set by its users only after its library is loaded, which using
-- the type does.
SELECT '[1]'::public.vector;

DO $$
DECLARE
    reader text;
BEGIN
    FOREACH reader IN ARRAY ARRAY['inference_reader', 'web_reader'] LOOP
        EXECUTE format('ALTER ROLE %I SET search_path = vectors, public', reader);
        EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', reader);
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', reader, '5s');
        -- Without it an index scan that a filter thins out returns fewer rows than asked for.
        EXECUTE format('ALTER ROLE %I SET hnsw.iterative_scan = %L', reader, 'strict_order');
        -- How many candidates an index scan looks at: docs/vectors.md has what is found with how
        -- many.
        EXECUTE format('ALTER ROLE %I SET hnsw.ef_search = 200', reader);
    END LOOP;
END
$$;
