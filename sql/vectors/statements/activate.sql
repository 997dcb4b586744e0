-- $1 model version, $2 who switches. No row changes where the version is not loaded, or already the
-- active one.
WITH moved AS (
    INSERT INTO vectors.active AS a (model_version)
    SELECT v.model_version FROM vectors.versions AS v WHERE v.model_version = $1 AND v.state = 'loaded'
    ON CONFLICT (one_row) DO UPDATE
    SET model_version = excluded.model_version, previous_version = a.model_version, switched_at = now()
    WHERE a.model_version <> excluded.model_version
    RETURNING a.model_version, a.previous_version
)
INSERT INTO vectors.switches (model_version, previous_version, switched_by)
SELECT m.model_version, m.previous_version, $2 FROM moved AS m;
