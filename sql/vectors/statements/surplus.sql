-- $1 how many loaded versions to keep beside the active one and the previous one: the newest.
SELECT v.model_version
FROM vectors.versions AS v
WHERE v.state = 'loaded'
  AND NOT EXISTS (
      SELECT FROM vectors.active AS a WHERE v.model_version IN (a.model_version, a.previous_version)
  )
ORDER BY v.loaded_at DESC, v.model_version
OFFSET $1;
