-- Changes a rating that is as the shop left it. Parameters: new rating and date, customer, product,
-- old rating and date.
UPDATE classicmodels.ratings
SET productRating = ?, ratedAt = ?
WHERE customerNumber = ? AND productCode = ? AND productRating = ? AND ratedAt = ?;
