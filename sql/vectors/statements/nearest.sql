-- $1 model version that the caller has loaded, $2 user vectors, $3 for each of them a JSON array of
-- product codes to leave out, $4 items for each user, $5 products, $6 similar items for each
-- product. One statement, so one snapshot: it answers with the active version, and with rows only
-- where that is the caller's. Materialised, because the planner would otherwise parse vector and
-- codes again for every item that it compares.
WITH query AS MATERIALIZED (
    SELECT asked.embedding::public.vector AS embedding,
           ARRAY(SELECT jsonb_array_elements_text(asked.excluded::jsonb)) AS excluded, asked.position
    FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS asked (embedding, excluded, position)
)
SELECT active.model_version, COALESCE(found.kind, ''), COALESCE(found.position, 0),
       COALESCE(found.id, ''), COALESCE(found.score, 0)
FROM vectors.active AS active
LEFT JOIN LATERAL (
    SELECT 'user' AS kind, query.position, item.id, item.score
    FROM query
    CROSS JOIN LATERAL (
        SELECT i.id, -(i.embedding <#> query.embedding) AS score
        FROM vectors.item_embeddings AS i
        WHERE i.model_version = $1
          AND i.id <> ALL (query.excluded)
        ORDER BY i.embedding <#> query.embedding
        LIMIT $4
    ) AS item
    UNION ALL
    SELECT 'product' AS kind, product.position, item.id, item.score
    FROM unnest($5::text[]) WITH ORDINALITY AS product (code, position)
    JOIN vectors.item_embeddings AS origin ON origin.model_version = $1 AND origin.id = product.code
    CROSS JOIN LATERAL (
        SELECT i.id, -(i.embedding <#> origin.embedding) AS score
        FROM vectors.item_embeddings AS i
        WHERE i.model_version = $1 AND i.id <> product.code
        ORDER BY i.embedding <#> origin.embedding
        LIMIT $6
    ) AS item
) AS found ON active.model_version = $1
ORDER BY found.kind, found.position, found.score DESC, found.id;
