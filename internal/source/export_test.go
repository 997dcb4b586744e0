package source

// QueryWithin is Query with another limit.
var QueryWithin = query
