-- What a customer was recommended in the last seven days, newest first; ? is the customer number.
WITH answers AS (
  SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY degraded, recommended_at) AS place
  FROM recommendations
  WHERE arrival_hour >= date_format(current_timestamp - INTERVAL '7' DAY, 'year=%Y/month=%m/day=%d/hour=%H')
    AND customer_number = ?
)
SELECT recommended_at, event_time, session_id,
  array_join(transform(recommended_items, item -> item.id), ' ') AS recommended,
  COALESCE(rung, CASE WHEN degraded THEN 'popular' ELSE 'store' END) AS rung, model_version
FROM answers
WHERE place = 1
ORDER BY recommended_at DESC, event_id;
