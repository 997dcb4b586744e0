-- $1 how many of the latest
SELECT s.model_version, COALESCE(s.previous_version, ''), s.switched_at, s.switched_by
FROM vectors.switches AS s
ORDER BY s.id DESC
LIMIT $1;
