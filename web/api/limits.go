package api

// mostWaitsOfOne address at a time, where the world is admitted: else one client could take the
// places of all.
const mostWaitsOfOne = 100
