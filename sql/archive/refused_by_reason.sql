-- Events that were refused or given up, by day and reason; what is there twice counts once.
WITH lost AS (
  SELECT date(from_unixtime(CAST(arrivaltimestamp AS bigint) / 1e3)) AS arrival_day, 'archive' AS consumer,
    errorcode AS reason, errormessage AS explanation,
    COUNT(DISTINCT concat(arrivaltimestamp, ' ', rawdata)) AS events
  FROM refused
  GROUP BY 1, 2, 3, 4
  UNION ALL
  SELECT date(from_iso8601_timestamp(kinesisbatchinfo.approximatearrivaloffirstrecord)), 'shop',
    requestcontext.condition, responsecontext.functionerror, SUM(kinesisbatchinfo.batchsize)
  FROM given_up
  GROUP BY 1, 2, 3, 4
)
SELECT arrival_day, consumer, reason, explanation, events
FROM lost
ORDER BY arrival_day, consumer, events DESC, reason, explanation;
