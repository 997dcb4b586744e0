UPDATE vectors.active AS a
SET model_version = a.previous_version, previous_version = a.model_version, switched_at = now()
WHERE EXISTS (
    SELECT FROM vectors.versions AS v WHERE v.model_version = a.previous_version AND v.state = 'loaded'
);
