SELECT a.model_version, COALESCE(a.previous_version, ''), v.origin, v.towers, a.switched_at
FROM vectors.active AS a
JOIN vectors.versions AS v USING (model_version);
