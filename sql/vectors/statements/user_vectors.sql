-- $1 model version, $2 customer numbers
SELECT u.id, u.embedding::text
FROM vectors.user_embeddings AS u
WHERE u.model_version = $1 AND u.id = ANY ($2);
