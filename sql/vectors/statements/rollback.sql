-- $1 who switches
WITH moved AS (
    UPDATE vectors.active AS a
    SET model_version = a.previous_version, previous_version = a.model_version, switched_at = now()
    WHERE EXISTS (
        SELECT FROM vectors.versions AS v WHERE v.model_version = a.previous_version AND v.state = 'loaded'
    )
    RETURNING a.model_version, a.previous_version
)
INSERT INTO vectors.switches (model_version, previous_version, switched_by)
SELECT m.model_version, m.previous_version, $1 FROM moved AS m;
