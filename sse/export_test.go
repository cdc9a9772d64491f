package sse

import "github.com/hubwire/hubwire/wire"

// ParseStored is the event of a Store's record, at epoch 7, offset 9.
func ParseStored(data []byte) (topic, plain string, err error) {
	e, _, err := parseStored(Record{At: wire.Position{Epoch: 7, Offset: 9}, Data: data})
	if err != nil {
		return "", "", err
	}
	return e.topic, string(e.plain), nil
}

// The zstd encoder makes a channel with its first frame, which must not belong to
// a test's synctest bubble.
func init() { zstandard.append(nil, []byte("x")) }
