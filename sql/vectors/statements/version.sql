-- $1 model version
SELECT v.model_version, v.origin, v.state, v.towers, v.search, v.item_count, v.user_count,
       COALESCE(v.reason, ''), v.loaded_at, COALESCE(v.base_version, ''), COALESCE(v.run_id, ''),
       v.run_created_at, COALESCE(v.lake, '')
FROM vectors.versions AS v
WHERE v.model_version = $1;
