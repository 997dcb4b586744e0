-- Answers of the last seven days by hour and rung, and the doubles that were left out.
WITH answers AS (
  SELECT *, row_number() OVER (PARTITION BY event_id ORDER BY degraded, recommended_at) AS place
  FROM recommendations
  WHERE arrival_hour >= date_format(current_timestamp - INTERVAL '7' DAY, 'year=%Y/month=%m/day=%d/hour=%H')
), counted AS (
  SELECT arrival_hour, place, degraded,
    COALESCE(rung, CASE WHEN degraded THEN 'popular' ELSE 'store' END) AS rung
  FROM answers
)
SELECT arrival_hour, SUM(CASE WHEN place = 1 THEN 1 ELSE 0 END) AS events,
  SUM(CASE WHEN place = 1 AND rung = 'store' THEN 1 ELSE 0 END) AS store,
  SUM(CASE WHEN place = 1 AND rung = 'memory' THEN 1 ELSE 0 END) AS memory,
  SUM(CASE WHEN place = 1 AND rung = 'popular' THEN 1 ELSE 0 END) AS popular,
  AVG(CASE WHEN place > 1 THEN NULL WHEN degraded THEN 1e0 ELSE 0e0 END) AS degraded_share,
  SUM(CASE WHEN place > 1 THEN 1 ELSE 0 END) AS doubles
FROM counted
GROUP BY arrival_hour
ORDER BY arrival_hour;
