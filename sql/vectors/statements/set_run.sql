-- $1 model version, $2 the model that it was refreshed from, $3 run, $4 when that was made, $5 the
-- bucket that it is in.
UPDATE vectors.versions AS v
SET base_version = NULLIF($2, ''), run_id = NULLIF($3, ''), run_created_at = $4, lake = NULLIF($5, '')
WHERE v.model_version = $1;
