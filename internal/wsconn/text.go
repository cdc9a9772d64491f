package wsconn

import "unicode/utf8"

// text checks that a message is UTF-8 while it comes in pieces. The zero value
// is at the start of a message.
type text struct {
	part [utf8.UTFMax]byte // a character of which the rest has not come
	n    uint8
}

// add checks the next piece and reports whether the message can still be valid:
// it says no at the first byte that no valid message can have there.
func (t *text) add(p []byte) bool {
	for t.n > 0 {
		if len(p) == 0 {
			return true
		}
		t.part[t.n] = p[0]
		t.n++
		p = p[1:]
		// FullRune is true of a part that cannot become a character too.
		if b := t.part[:t.n]; utf8.FullRune(b) {
			if !utf8.Valid(b) {
				return false
			}
			t.n = 0
		}
	}
	cut := len(p)
	for i := len(p) - 1; i >= 0 && i > len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				cut = i
			}
			break
		}
	}
	t.n = uint8(copy(t.part[:], p[cut:]))
	return utf8.Valid(p[:cut])
}

// whole reports whether what was added ends with a whole character.
func (t *text) whole() bool { return t.n == 0 }
