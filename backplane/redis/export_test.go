package redis

// Tuned are the options with which the backplane connects.
var Tuned = clientOptions
