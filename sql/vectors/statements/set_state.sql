-- $1 model version, $2 state, $3 reason. The active model and the one to go back to are never
-- touched.
UPDATE vectors.versions AS v
SET state = $2, reason = NULLIF($3, '')
WHERE v.model_version = $1
  AND NOT EXISTS (
      SELECT FROM vectors.active AS a WHERE v.model_version IN (a.model_version, a.previous_version)
  );
