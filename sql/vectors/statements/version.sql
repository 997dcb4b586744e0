-- $1 model version
SELECT v.model_version, v.origin, v.state, v.towers, v.search, v.item_count, v.user_count,
       COALESCE(v.reason, ''), v.loaded_at
FROM vectors.versions AS v
WHERE v.model_version = $1;
