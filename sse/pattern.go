package sse

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Topics have names of segments between slashes: "orders/17/state". A pattern is
// a name in which a segment "*" is any one segment and a last segment "**" one or
// more.

// maxTopic is the longest name in bytes, maxPatterns how many patterns a
// subscriber may have.
const (
	maxTopic    = 1 << 10
	maxPatterns = 128
)

// checkTopic looks at a name, or at a pattern.
func checkTopic(s string, pattern bool) error {
	if s == "" || len(s) > maxTopic || !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("sse: topic %.40q is empty, no text or longer than %d bytes: %w", s, maxTopic, ErrInvalid)
	}
	if strings.IndexByte(s, '*') < 0 {
		return nil
	}
	if !pattern {
		return fmt.Errorf("sse: topic %.40q has a *, which is for patterns: %w", s, ErrInvalid)
	}
	for rest, more := s, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if strings.IndexByte(segment, '*') >= 0 && segment != "*" && (segment != "**" || more) {
			return fmt.Errorf("sse: pattern %.40q: a * is a whole segment, ** the last one: %w", s, ErrInvalid)
		}
	}
	return nil
}

// matches reports whether a topic is one of a pattern's.
func matches(pattern, topic string) bool {
	for {
		p, prest, pmore := strings.Cut(pattern, "/")
		if p == "**" {
			return topic != ""
		}
		t, trest, tmore := strings.Cut(topic, "/")
		if p != "*" && p != t || pmore != tmore {
			// "a/**" needs one segment more than "a".
			return false
		}
		if !pmore {
			return true
		}
		pattern, topic = prest, trest
	}
}
