-- Milliseconds from event to recommendation, by hour of the last seven days.
WITH answers AS (
  SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY degraded, recommended_at) AS place
  FROM recommendations
  WHERE arrival_hour >= date_format(current_timestamp - INTERVAL '7' DAY, 'year=%Y/month=%m/day=%d/hour=%H')
), latencies AS (
  SELECT arrival_hour,
    date_diff('millisecond', from_iso8601_timestamp(event_time), from_iso8601_timestamp(recommended_at)) AS latency
  FROM answers
  WHERE place = 1
)
SELECT arrival_hour, COUNT(*) AS events, approx_percentile(latency, 0.5) AS p50,
  approx_percentile(latency, 0.99) AS p99, MAX(latency) AS longest
FROM latencies
GROUP BY arrival_hour
ORDER BY arrival_hour;
