-- One row on the published training set: its size, its gaps, its ratings, the time that they span.
SELECT COUNT(*) AS ratings, COUNT(DISTINCT customerNumber) AS customers, COUNT(DISTINCT productCode) AS products,
  SUM(CASE WHEN COALESCE(state, '') = '' THEN 1 ELSE 0 END) AS withoutState,
  SUM(CASE WHEN COALESCE(postalCode, '') = '' THEN 1 ELSE 0 END) AS withoutPostalCode,
  AVG(CAST(productRating AS double)) AS meanRating,
  SUM(CASE WHEN CAST(productRating AS double) >= 4 THEN 1 ELSE 0 END) AS ratedFourOrFive,
  MIN(ratedAt) AS firstRatedAt, MAX(ratedAt) AS lastRatedAt
FROM ratings_ml_training;
