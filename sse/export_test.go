package sse

// The zstd encoder makes a channel with its first frame, which must not belong to
// a test's synctest bubble.
func init() { zstandard.append(nil, []byte("x")) }
