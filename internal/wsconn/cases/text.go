package cases

import "fmt"

// kosme and other are good UTF-8; the rest of 6 is after Markus Kuhn's table of
// stress cases, as the suite's chapter is.
const (
	kosme = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"
	other = "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!"
)

var GoodText = []string{
	// 6.5, 6.6: whole sequences
	kosme, "\xce\xba", "\xce\xba\xe1\xbd\xb9", "\xce\xba\xe1\xbd\xb9\xcf\x83", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc", other,
	// 6.7: first of each length
	"\x00", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80",
	// 6.9: last of each length
	"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf",
	// 6.11: around the surrogates
	"\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd", "\xf4\x8f\xbf\xbf",
	// 6.22, 6.23: noncharacters and specials are characters
	"\xef\xbf\xbe", "\xef\xb7\x90", "\xef\xb7\xaf", "\xf0\x9f\xbf\xbe", "\xf0\x9f\xbf\xbf", "\xf0\xaf\xbf\xbe", "\xf0\xbf\xbf\xbf",
	"\xf1\x8f\xbf\xbe", "\xf1\xbf\xbf\xbf", "\xf2\x8f\xbf\xbe", "\xf3\xbf\xbf\xbf", "\xf4\x8f\xbf\xbe",
	"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbb\xbf",
}

var BadText = []string{
	// 6.3: a surrogate inside
	kosme + "\xed\xa0\x80edited",
	// 6.6: sequences that end early
	"\xce", kosme[:3], kosme[:4], kosme[:6], kosme[:8], kosme[:10],
	// 6.8: five and six bytes
	"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
	// 6.10: above U+10FFFF
	"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf", "\xf4\x90\x80\x80",
	// 6.12: lone continuation bytes
	"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80", "\x80\xbf\x80\xbf\x80\xbf",
	// 6.13: lone starts
	"\xc0 \xc1 \xc2 ", "\xe0 \xe1 \xe2 ", "\xf0 \xf1 \xf2 ", "\xf8 \xf9 ", "\xfc ",
	// 6.14: the last byte is missing
	"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80", "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	// 6.15: all of them
	"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf",
	// 6.16: bytes that never are
	"\xfe", "\xff", "\xfe\xfe\xff\xff",
	// 6.17 to 6.19: too long forms
	"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf",
	"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf",
	"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80",
	// 6.20, 6.21: surrogates, alone and paired
	"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
	"\xed\xa0\x80\xed\xb0\x80", "\xed\xad\xbf\xed\xbf\xbf", "\xed\xaf\xbf\xed\xbf\xbf",
}

func chapter6() []Case {
	inside := Text(kosme + "\xf4\x90\x80\x80edited").Append(nil)
	cs := []Case{
		good("6.1.1 empty text", Text(""), Text("")),
		good("6.1.2 three empty fragments", fs(fr(0x01, ""), fr(0x00, ""), fr(0x80, "")), Text("")),
		good("6.1.3 the middle one is not empty", fs(fr(0x01, ""), fr(0x00, "middle frame payload"), fr(0x80, "")), Text("middle frame payload")),
		good("6.2.2 two fragments, cut between characters", fs(fr(0x01, other[:8]), fr(0x80, other[8:])), Text(other)),
		good("6.2.3 fragments of one byte", seq(Pieces(other, 1)), Text(other)),
		good("6.2.4 the same", seq(Pieces(kosme, 1)), Text(kosme)),
		good("6.2.x a ping inside a character", fs(fr(0x01, kosme[:1]), Ping(kosme[:1]), fr(0x80, kosme[1:])), Pong(kosme[:1]), Text(kosme)),
		bad("6.3.2 bad text, fragments of one byte", 1007, seq(Pieces(kosme+"\xed\xa0\x80edited", 1))),
		// Fail fast: the message never ends, and is refused all the same.
		bad("6.4.1 the second of three fragments", 1007, fs(fr(0x01, kosme), fr(0x00, "\xf4\x90\x80\x80"))),
		bad("6.4.2 the first bad byte", 1007, fs(fr(0x01, kosme+"\xf4"), fr(0x00, "\x90"))),
		raw("6.4.3 inside a frame", 1007, inside[:6+len(kosme)+4]),
		raw("6.4.4 the first bad byte inside a frame", 1007, inside[:6+len(kosme)+2]),
		bad("6.x a character over two messages", 1007, fs(Text(kosme[:1]), Text(kosme[1:]))),
		good("6.x binary is not looked at", fr(0x82, "\xff\xfe\x80"), Binary("\xff\xfe\x80")),
	}
	for i, s := range GoodText {
		cs = append(cs,
			good(fmt.Sprintf("6.5-23 good %d", i), Text(s), Text(s)),
			good(fmt.Sprintf("6.5-23 good %d in fragments", i), seq(Pieces(s, 1)), Text(s)))
	}
	for i, s := range BadText {
		cs = append(cs,
			bad(fmt.Sprintf("6.6-21 bad %d", i), 1007, Text(s)),
			bad(fmt.Sprintf("6.6-21 bad %d in fragments", i), 1007, seq(Pieces(s, 1))))
	}
	return cs
}
