SELECT a.model_version, COALESCE(a.previous_version, ''), v.origin, v.towers, a.switched_at,
       COALESCE(v.base_version, ''), COALESCE(v.run_id, ''), v.run_created_at, COALESCE(v.lake, '')
FROM vectors.active AS a
JOIN vectors.versions AS v USING (model_version);
