package wsconn_test

import "unicode/utf8"

// This is the reader of RFC 6455 once more, as slow and obvious as can be: it
// has all input at once, and judges byte by byte.

// An event is what a server learns, or says.
type event struct {
	kind    string // text, binary, pong, close; part: a message that did not end
	payload string
	code    int // of a close
}

// An outcome is what a server makes of all input, and how it ends: code 0 for its end without a close frame, else
// the code of the close frame that the server sends.
type outcome struct {
	events []event
	code   int
}

func reference(b []byte, maxFragments int) (out outcome) {
	var kind, message string
	fragments := 0
	fail := func(code int) outcome {
		if kind != "" {
			out.events = append(out.events, event{kind: "part", payload: message})
		}
		out.events = append(out.events, event{kind: "close", code: code})
		out.code = code
		return out
	}
	ended := func() outcome {
		if kind != "" {
			out.events = append(out.events, event{kind: "part", payload: message})
		}
		return out
	}
	for len(b) > 0 {
		// The first byte.
		fin, op := b[0]>>7 == 1, b[0]&15
		switch op {
		case 0, 1, 2, 8, 9, 10:
		default:
			return fail(1002)
		}
		if b[0]&0x70 != 0 || op >= 8 && !fin {
			return fail(1002)
		}
		// The second.
		if len(b) < 2 {
			return ended()
		}
		short := int(b[1] & 127)
		if b[1]>>7 == 0 || op >= 8 && short > 125 {
			return fail(1002)
		}
		// The length, as a number of so many bytes.
		wide := map[int]int{126: 2, 127: 8}[short]
		n := uint64(short)
		if wide > 0 {
			if wide == 8 && len(b) > 2 && b[2] > 127 {
				return fail(1002)
			}
			if len(b) < 2+wide {
				return ended()
			}
			n = 0
			for _, x := range b[2 : 2+wide] {
				n = n*256 + uint64(x)
			}
			if wide == 2 && n < 126 || wide == 8 && n < 65536 {
				return fail(1002)
			}
		}
		if len(b) < 2+wide+4 {
			return ended()
		}
		mask := b[2+wide : 2+wide+4]
		b = b[2+wide+4:]
		// Does the frame fit what came before?
		switch {
		case op == 0 && kind == "", op == 1 && kind != "", op == 2 && kind != "":
			return fail(1002)
		case op == 1:
			kind, message, fragments = "text", "", 1
		case op == 2:
			kind, message, fragments = "binary", "", 1
		case op == 0:
			fragments++
		}
		if op < 8 && fragments > maxFragments {
			return fail(1008)
		}
		// The payload.
		var payload string
		for i := uint64(0); i < n; i++ {
			if i == uint64(len(b)) {
				return ended()
			}
			x := string([]byte{b[i] ^ mask[i%4]})
			payload += x
			if op < 8 {
				if kind == "text" && !viable(message+x) {
					return fail(1007)
				}
				message += x
			}
		}
		b = b[n:]
		switch {
		case op == 9:
			out.events = append(out.events, event{kind: "pong", payload: payload})
		case op == 8:
			code := 1000
			if len(payload) == 1 {
				code = 1002
			}
			if len(payload) >= 2 {
				c := int(payload[0])*256 + int(payload[1])
				switch {
				case c >= 1000 && c <= 1003, c >= 1007 && c <= 1014, c >= 3000 && c <= 4999:
					if !utf8.ValidString(payload[2:]) {
						code = 1007
					}
				default:
					code = 1002
				}
			}
			return fail(code)
		case op < 8 && fin:
			if kind == "text" && !utf8.ValidString(message) {
				return fail(1007)
			}
			out.events = append(out.events, event{kind: kind, payload: message})
			kind = ""
		}
	}
	return ended()
}

// viable reports whether s is the beginning of a valid text: whether some bytes
// behind it make it one.
func viable(s string) bool {
	if n := 2 * utf8.UTFMax; len(s) > n {
		s = s[len(s)-n:]
		for len(s) > 0 && !utf8.RuneStart(s[0]) {
			s = s[1:] // the end of a character that was judged before
		}
	}
	edges := []string{"", "\x80", "\x8f", "\x90", "\x9f", "\xa0", "\xbf"} // where the ranges of second bytes end
	for _, a := range edges {
		for _, b := range edges {
			for _, c := range edges {
				if utf8.ValidString(s + a + b + c) {
					return true
				}
			}
		}
	}
	return false
}
