package sse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// A record of a Store's log is
//
//	1                       the version, a byte
//	time                    of its publishing, milliseconds since 1970, a uvarint
//	length, topic           a uvarint and the bytes
//	length, key             of PublishLatest, the same
//	lines                   of the event, without its id and the blank line
//
// so that an event is encoded by who publishes it, once for all nodes.
const storedVersion = 1

// appendStored appends the record of an event.
func appendStored(dst []byte, topic, key string, e Event[string], now time.Time) ([]byte, error) {
	dst = append(dst, storedVersion)
	dst = binary.AppendUvarint(dst, uint64(max(now.UnixMilli(), 0)))
	dst = append(binary.AppendUvarint(dst, uint64(len(topic))), topic...)
	dst = append(binary.AppendUvarint(dst, uint64(len(key))), key...)
	dst, err := appendEvent(dst, e.Type, e.Data, "", e.Retry, e.Set)
	if err != nil {
		return nil, err
	}
	return dst[:len(dst)-1], nil
}

// parseStored makes an entry of a record: all but its place in the log in memory.
func parseStored(r Record) (e *entry, published time.Time, err error) {
	b := r.Data
	if len(b) == 0 || b[0] != storedVersion {
		return nil, published, fmt.Errorf("sse: stored event of another version: %w", ErrInvalid)
	}
	ms, n := binary.Uvarint(b[1:])
	topic, rest, ok := cutText(b[1+max(n, 0):])
	key, lines, ok2 := cutText(rest)
	if n <= 0 || ms > 1<<50 || !ok || !ok2 || checkTopic(topic, false) != nil {
		return nil, published, fmt.Errorf("sse: stored event has no topic: %w", ErrInvalid)
	}
	if len(lines) == 0 || lines[0] == '\n' || lines[len(lines)-1] != '\n' || bytes.Contains(lines, []byte("\n\n")) || bytes.IndexByte(lines, '\r') >= 0 {
		return nil, published, fmt.Errorf("sse: stored event is not one of lines: %w", ErrInvalid)
	}
	e = &entry{topic: topic, at: r.At.Offset}
	if key != "" {
		e.key = topic + "\x00" + key
	}
	e.plain = make([]byte, 0, len(lines)+len("id: \n\n")+maxIDSize)
	e.plain = append(append(e.plain, lines...), "id: "...)
	e.plain = append(appendID(e.plain, r.At), "\n\n"...)
	return e, time.UnixMilli(int64(ms)), nil
}

// cutText cuts a text with its length before it.
func cutText(b []byte) (text string, rest []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return "", nil, false
	}
	return string(b[n : n+int(size)]), b[n+int(size):], true
}
