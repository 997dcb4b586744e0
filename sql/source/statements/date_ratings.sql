-- Dates ratings that have no date, as the course's have none. Parameters: the date; what stands for
-- none.
UPDATE classicmodels.ratings SET ratedAt = ? WHERE ratedAt = ?;
