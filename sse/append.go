package sse

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// ErrInvalid is in every error about an event that cannot be written: a type or
// id with a line break, an id with a NUL (clients ignore it), a negative retry.
var ErrInvalid = errors.New("invalid event")

// Append appends an event as it is sent, its blank line included. The order of
// the lines is .NET's: event, data, id, retry. Data is split at CR, LF and CRLF,
// so that no data can end the event or start another field; there is always a
// data line, without which clients see no event.
//
// An error wraps ErrInvalid, and dst is returned as it was. Append does not
// allocate if dst has room.
func Append[D ~string | ~[]byte](dst []byte, e Event[D]) ([]byte, error) {
	return appendEvent(dst, e.Type, text(e.Data), e.ID, e.Retry, e.Set)
}

// text is d without a copy; it lives as long as d is not changed.
func text[D ~string | ~[]byte](d D) string {
	switch s := any(d).(type) {
	case string:
		return s
	case []byte:
		return unsafe.String(unsafe.SliceData(s), len(s))
	}
	return string(d) // a type of its own
}

func appendEvent(dst []byte, typ, data, id string, retry time.Duration, set Fields) ([]byte, error) {
	if err := check(typ, id, retry, set); err != nil {
		return dst, err
	}
	if typ != "" || set&TypeField != 0 {
		dst = append(dst, "event: "...)
		dst = append(dst, typ...)
		dst = append(dst, '\n')
	}
	dst = appendLines(dst, "data: ", data)
	if id != "" || set&IDField != 0 {
		dst = append(dst, "id: "...)
		dst = append(dst, id...)
		dst = append(dst, '\n')
	}
	if retry != 0 || set&RetryField != 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	return append(dst, '\n'), nil
}

// check looks for what would end a line early, or mean something else.
func check(typ, id string, retry time.Duration, set Fields) error {
	switch {
	case breaks(typ):
		return fmt.Errorf("sse: type %.40q has a line break: %w", typ, ErrInvalid)
	case id != "" && !ValidID(id):
		return fmt.Errorf("sse: id %.40q has a line break or a NUL: %w", id, ErrInvalid)
	case retry < 0:
		return fmt.Errorf("sse: retry %v is negative: %w", retry, ErrInvalid)
	case retry > 0 && retry < time.Millisecond && set&RetryField == 0:
		return fmt.Errorf("sse: retry %v is less than a millisecond, and 0 makes clients reconnect without a pause: %w", retry, ErrInvalid)
	}
	return nil
}

// ValidID reports whether s can be an event's id: it has no CR, LF or NUL. Only
// ids of at most 128 bytes without controls and without any of "():<>?@[\]{}
// travel across origins without a preflight.
func ValidID(s string) bool { return !breaks(s) && strings.IndexByte(s, 0) < 0 }

// breaks reports whether s has a line break.
func breaks(s string) bool { return lineBreak(s) >= 0 }

// lineBreak is the place of the first CR or LF, or negative.
func lineBreak(s string) int {
	if len(s) < 16 { // two searches cost more
		for i := range len(s) {
			if s[i] == '\n' || s[i] == '\r' {
				return i
			}
		}
		return -1
	}
	lf := strings.IndexByte(s, '\n')
	if lf >= 0 {
		s = s[:lf]
	}
	if cr := strings.IndexByte(s, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// appendLines appends s with a prefix before each line. A break at the end
// leaves an empty last line.
func appendLines(dst []byte, prefix, s string) []byte {
	cr := strings.IndexByte(s, '\r')
	for {
		// One search for CR for all lines that have none, or the lines of a long
		// text would each look through the rest of it.
		end := strings.IndexByte(s, '\n')
		if cr >= 0 && (end < 0 || cr < end) {
			end = cr
		}
		dst = append(dst, prefix...)
		if end < 0 {
			dst = append(dst, s...)
			return append(dst, '\n')
		}
		dst = append(dst, s[:end]...)
		dst = append(dst, '\n')
		next := end + 1
		if s[end] == '\r' && next < len(s) && s[next] == '\n' {
			next++
		}
		s = s[next:]
		if cr >= next {
			cr -= next
		} else if cr >= 0 {
			cr = strings.IndexByte(s, '\r')
		}
	}
}

// AppendComment appends a comment, one line for each line of text. Clients do
// not see comments; they keep the connection busy. There is no blank line, as a
// comment does not end an event.
func AppendComment(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, ":\n"...)
	}
	return appendLines(dst, ": ", text)
}

// AppendID appends a block that is no event and makes id the client's last event
// id; "" makes it forget the one it has.
func AppendID(dst []byte, id string) ([]byte, error) {
	if err := check("", id, 0, 0); err != nil {
		return dst, err
	}
	dst = append(dst, "id: "...)
	dst = append(dst, id...)
	return append(dst, "\n\n"...), nil
}

// AppendRetry appends a block that is no event and says how long the client shall
// wait before it reconnects: at least a millisecond, since with 0 browsers
// reconnect a hundred times a second.
func AppendRetry(dst []byte, retry time.Duration) ([]byte, error) {
	if retry < time.Millisecond {
		return dst, fmt.Errorf("sse: retry %v is less than a millisecond: %w", retry, ErrInvalid)
	}
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, retry.Milliseconds(), 10)
	return append(dst, "\n\n"...), nil
}

// millis is a retry field's value as a duration; more than it can hold is its
// longest.
func millis(ms int64) time.Duration {
	if ms > math.MaxInt64/int64(time.Millisecond) {
		return math.MaxInt64
	}
	return time.Duration(ms) * time.Millisecond
}
