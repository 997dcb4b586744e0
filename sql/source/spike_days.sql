-- Revenue and demand spikes by day: the one definition, for the sales mart, the saved queries and
-- the pages.
--
-- Revenue of a day is the sum of quantityOrdered x priceEach over the lines of its orders,
-- cancelled ones left out, however their status is written: MySQL's collation ignores case, Spark
-- and Athena do not. A day is a spike when its revenue lies above median + 3 x MAD of the 28
-- days with revenue before it, MAD being the median absolute deviation from that median. The first
-- 28 days have no threshold and are no spikes.
--
-- It is written for MySQL 8.4, MariaDB 11.4 and Spark SQL alike, which is why tables are not
-- qualified and no engine's own median is called. The median of 28 values is the mean of the 14th
-- and the 15th; to be exact in every engine nothing is divided: twoMedians is 2 x median, fourMads
-- is 4 x MAD.
WITH daily AS (
  SELECT orders.orderDate, SUM(orderdetails.quantityOrdered * orderdetails.priceEach) AS revenue
  FROM orders
  JOIN orderdetails ON orderdetails.orderNumber = orders.orderNumber
  WHERE LOWER(TRIM(orders.status)) <> 'cancelled'
  GROUP BY orders.orderDate
),
numbered AS (
  SELECT orderDate, revenue, ROW_NUMBER() OVER (ORDER BY orderDate) AS dayNumber
  FROM daily
),
before_it AS (
  SELECT numbered.orderDate, past.revenue,
    ROW_NUMBER() OVER (PARTITION BY numbered.orderDate ORDER BY past.revenue) AS placement
  FROM numbered
  JOIN numbered AS past ON past.dayNumber BETWEEN numbered.dayNumber - 28 AND numbered.dayNumber - 1
  WHERE numbered.dayNumber > 28
),
medians AS (
  SELECT orderDate, SUM(revenue) AS twoMedians
  FROM before_it
  WHERE placement IN (14, 15)
  GROUP BY orderDate
),
deviations AS (
  SELECT before_it.orderDate, ABS(2 * before_it.revenue - medians.twoMedians) AS twoDeviations,
    ROW_NUMBER() OVER (
      PARTITION BY before_it.orderDate ORDER BY ABS(2 * before_it.revenue - medians.twoMedians)
    ) AS placement
  FROM before_it
  JOIN medians ON medians.orderDate = before_it.orderDate
),
mads AS (
  SELECT orderDate, SUM(twoDeviations) AS fourMads
  FROM deviations
  WHERE placement IN (14, 15)
  GROUP BY orderDate
)
SELECT daily.orderDate, daily.revenue,
  0.25 * (2 * medians.twoMedians + 3 * mads.fourMads) AS threshold,
  CASE WHEN 4 * daily.revenue > 2 * medians.twoMedians + 3 * mads.fourMads THEN 1 ELSE 0 END AS spike
FROM daily
LEFT JOIN medians ON medians.orderDate = daily.orderDate
LEFT JOIN mads ON mads.orderDate = daily.orderDate
ORDER BY daily.orderDate;
