-- $1 model version, $2 origin, $3 has towers, $4 search, $5 items, $6 users.
-- A rejected model stays rejected: only one whose vectors were retired may come back.
INSERT INTO vectors.versions AS v (model_version, origin, state, towers, search, item_count, user_count)
VALUES ($1, $2, 'loaded', $3, $4, $5, $6)
ON CONFLICT (model_version) DO UPDATE
SET state = 'loaded', origin = excluded.origin, towers = excluded.towers, search = excluded.search,
    item_count = excluded.item_count, user_count = excluded.user_count, loaded_at = now()
WHERE v.state = 'retired';
