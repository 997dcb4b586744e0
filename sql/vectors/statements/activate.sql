-- $1 model version. No row changes where it is not loaded, or already the active one.
INSERT INTO vectors.active AS a (model_version)
SELECT v.model_version FROM vectors.versions AS v WHERE v.model_version = $1 AND v.state = 'loaded'
ON CONFLICT (one_row) DO UPDATE
SET model_version = excluded.model_version, previous_version = a.model_version, switched_at = now()
WHERE a.model_version <> excluded.model_version;
