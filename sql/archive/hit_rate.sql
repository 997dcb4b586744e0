-- Sessions of the last seven days that took a recommended item into their cart, by model.
WITH answers AS (
  SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY degraded, recommended_at) AS place
  FROM recommendations
  WHERE arrival_hour >= date_format(current_timestamp - INTERVAL '7' DAY, 'year=%Y/month=%m/day=%d/hour=%H')
), recommended AS (
  SELECT session_id, model_version, item.product_code, MIN(from_iso8601_timestamp(event_time)) AS first_at
  FROM answers
  CROSS JOIN UNNEST(transform(recommended_items, entry -> entry.id)) AS item(product_code)
  WHERE place = 1
  GROUP BY session_id, model_version, item.product_code
), carts AS (
  SELECT session_id, item.product_code, MAX(from_iso8601_timestamp(event_time)) AS last_at
  FROM answers
  CROSS JOIN UNNEST(
    transform(filter(browse_history, entry -> entry.in_shopping_cart), entry -> entry.product_code)
  ) AS item(product_code)
  WHERE place = 1
  GROUP BY session_id, item.product_code
), outcomes AS (
  SELECT recommended.model_version, recommended.session_id, COUNT(*) AS items,
    SUM(CASE WHEN carts.last_at > recommended.first_at THEN 1 ELSE 0 END) AS hits
  FROM recommended
  LEFT JOIN carts ON carts.session_id = recommended.session_id AND carts.product_code = recommended.product_code
  GROUP BY recommended.model_version, recommended.session_id
)
SELECT model_version, COUNT(*) AS sessions, SUM(CASE WHEN hits > 0 THEN 1 ELSE 0 END) AS sessions_with_hit,
  AVG(CASE WHEN hits > 0 THEN 1e0 ELSE 0e0 END) AS hit_rate, SUM(items) AS items_recommended, SUM(hits) AS items_taken
FROM outcomes
GROUP BY model_version
ORDER BY sessions DESC, model_version;
