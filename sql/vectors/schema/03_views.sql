SET LOCAL ROLE vector_owner;

-- A scalar subquery rather than a join: the planner prunes to one partition and can use its vector
-- index.
CREATE OR REPLACE VIEW vectors.item_emb AS
SELECT i.id, i.embedding
FROM vectors.item_embeddings AS i
WHERE i.model_version = (SELECT a.model_version FROM vectors.active AS a);

CREATE OR REPLACE VIEW vectors.user_emb AS
SELECT u.id, u.embedding
FROM vectors.user_embeddings AS u
WHERE u.model_version = (SELECT a.model_version FROM vectors.active AS a);

GRANT USAGE ON SCHEMA vectors TO inference_reader, web_reader;

GRANT SELECT ON vectors.versions, vectors.item_embeddings, vectors.user_embeddings, vectors.active,
    vectors.item_emb, vectors.user_emb TO inference_reader;

-- The web servers compare items with items. Vectors of customers are none of their business.
GRANT SELECT ON vectors.versions, vectors.item_embeddings, vectors.active, vectors.item_emb
    TO web_reader;
