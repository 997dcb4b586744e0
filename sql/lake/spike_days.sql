-- Days whose revenue is a demand spike, as sql/source/spike_days.sql defines it.
SELECT CAST(calendarDate AS date) AS calendarDate, CAST(revenue AS decimal(20,2)) AS revenue,
  CAST(threshold AS decimal(24,4)) AS threshold
FROM dates
WHERE CAST(isSpike AS boolean)
ORDER BY 1;
