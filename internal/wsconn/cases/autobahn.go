package cases

import (
	"fmt"
	"strings"
)

// Autobahn are the cases of chapters 1 to 7.
func Autobahn() (all []Case) {
	for _, chapter := range []func() []Case{chapter1, chapter2, chapter3, chapter4, chapter5, chapter6, chapter7} {
		all = append(all, chapter()...)
	}
	return all
}

func chapter1() (cs []Case) {
	for i, n := range []int{0, 125, 126, 127, 128, 65535, 65536} {
		s := strings.Repeat("*", n)
		b := strings.Repeat("\xfe", n)
		cs = append(cs,
			good(fmt.Sprintf("1.1.%d text of %d bytes", i+1, n), Text(s), Text(s)),
			good(fmt.Sprintf("1.2.%d binary of %d bytes", i+1, n), fr(0x82, b), Binary(b)))
	}
	return cs
}

func chapter2() []Case {
	long := strings.Repeat("\xfe", 125)
	var pings seq
	var pongs []Frame
	for i := range 10 {
		s := fmt.Sprint("payload-", i)
		pings = append(pings, Ping(s))
		pongs = append(pongs, Pong(s))
	}
	return []Case{
		good("2.1 ping without payload", Ping(""), Pong("")),
		good("2.2 ping with text", Ping("Hello, world!"), Pong("Hello, world!")),
		good("2.3 ping with bytes that are no text", Ping("\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), Pong("\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		good("2.4 ping of 125 bytes", Ping(long), Pong(long)),
		bad("2.5 ping of 126 bytes", 1002, Ping(long+"\xfe")),
		good("2.7 pong that nobody asked for", fr(0x8a, "")),
		good("2.8 the same with payload", fr(0x8a, "unsolicited pong payload")),
		good("2.9 the same, then a ping", fs(fr(0x8a, "unsolicited"), Ping("ping payload")), Pong("ping payload")),
		good("2.10 ten pings", pings, pongs...),
		bad("2.12 pong of 126 bytes", 1002, fr(0x8a, long+"\xfe")),
	}
}

func chapter3() []Case {
	hello, again := "Hello, world!", Ping("")
	return []Case{
		bad("3.1 rsv 1", 1002, fr(0x81|0x10, hello)),
		bad("3.2 rsv 2 after a good one", 1002, fs(Text(hello), fr(0x81|0x20, hello), again), Text(hello)),
		bad("3.3 rsv 3 after a good one", 1002, fs(Text(hello), fr(0x81|0x30, hello), again), Text(hello)),
		bad("3.4 rsv 4 after a good one (the bit of deflate)", 1002, fs(Text(hello), fr(0x81|0x40, hello), again), Text(hello)),
		bad("3.5 rsv 5 on a binary frame", 1002, fr(0x82|0x50, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")),
		bad("3.6 rsv 6 on a ping", 1002, fr(0x89|0x60, hello)),
		bad("3.7 rsv 7 on a close", 1002, fr(0x88|0x70, "")),
	}
}

func chapter4() (cs []Case) {
	hello := "Hello, world!"
	for i := range byte(5) {
		p := ""
		if i%2 == 1 {
			p = "reserved opcode payload"
		}
		cs = append(cs,
			bad(fmt.Sprintf("4.1.%d opcode %d", i+1, 3+i), 1002, fr(0x83+i, p)),
			bad(fmt.Sprintf("4.2.%d opcode %d", i+1, 11+i), 1002, fr(0x8b+i, p)),
			bad(fmt.Sprintf("4.1.%d after a good one", i+1), 1002, fs(Text(hello), fr(0x83+i, p), Ping("")), Text(hello)),
			bad(fmt.Sprintf("4.2.%d after a good one", i+1), 1002, fs(Text(hello), fr(0x8b+i, p), Ping("")), Text(hello)))
	}
	return cs
}

func chapter5() []Case {
	a, b := fr(0x01, "fragment1"), fr(0x80, "fragment2")
	both := Text("fragment1fragment2")
	five := func(i int) Frame {
		switch i {
		case 1:
			return a
		case 5:
			return fr(0x80, "fragment5")
		}
		return fr(0x00, fmt.Sprint("fragment", i))
	}
	return []Case{
		bad("5.1 ping in two fragments", 1002, fs(fr(0x09, "fragment1"), b)),
		bad("5.2 pong in two fragments", 1002, fs(fr(0x0a, "fragment1"), b)),
		good("5.3 text in two fragments", fs(a, b), both),
		good("5.6 ping between", fs(a, Ping("ping payload"), b), Pong("ping payload"), both),
		{Name: "5.6 answered between", Steps: []Step{one(fs(a, Ping("x")), Pong("x")), one(b, both)}},
		bad("5.9 continuation without a start, then text", 1002, fs(fr(0x80, "non-continuation payload"), Text("Hello"))),
		bad("5.12 continuation that is not the last, without a start", 1002, fs(fr(0x00, "non-continuation payload"), Text("Hello"))),
		bad("5.15 continuation behind a message", 1002, fs(a, b, fr(0x00, "fragment3"), fr(0x81, "fragment4")), both),
		bad("5.16 continuation first, twice", 1002, fs(fr(0x00, "f1"), fr(0x01, "f2"), fr(0x80, "f3"))),
		bad("5.17 last continuation first, twice", 1002, fs(fr(0x80, "f1"), fr(0x01, "f2"), fr(0x80, "f3"))),
		bad("5.18 text inside a text", 1002, fs(a, fr(0x81, "fragment2"))),
		bad("5.18 binary inside a text", 1002, fs(a, fr(0x82, "fragment2"))),
		bad("5.18 a second start inside a text", 1002, fs(a, fr(0x01, "fragment2"))),
		{Name: "5.19 five fragments, two pings", Steps: []Step{
			one(fs(five(1), five(2), Ping("pongme 1!")), Pong("pongme 1!")),
			one(fs(five(3), five(4), Ping("pongme 2!"), five(5)), Pong("pongme 2!"), Text("fragment1fragment2fragment3fragment4fragment5")),
		}},
		good("5.x binary in three, one of them empty", fs(fr(0x02, "a"), fr(0x00, ""), fr(0x80, "b")), Binary("ab")),
	}
}

func chapter7() []Case {
	cs := []Case{
		{Name: "7.1.1 message, then close", Steps: []Step{one(fs(Text("Hello World!"), Close(1000, "")), Text("Hello World!"))}, Code: 1000},
		bad("7.1.2 two close frames", 1000, fs(Close(1000, ""), Close(1000, ""))),
		bad("7.1.3 ping behind a close frame", 1000, fs(Close(1000, ""), Ping("late"))),
		bad("7.1.4 text behind a close frame", 1000, fs(Close(1000, ""), Text("late"))),
		bad("7.1.5 close inside a message, and its end", 1000, fs(fr(0x01, "fragment1"), Close(1000, ""), fr(0x80, "fragment2"))),
		bad("7.1.6 large message, close, ping", 1000, fs(Text(strings.Repeat("BAsd7&jh23", 26_000)), Close(1000, ""), Ping("")), Text(strings.Repeat("BAsd7&jh23", 26_000))),
		bad("7.3.1 close without payload", 1000, fr(0x88, "")),
		bad("7.3.2 close of one byte", 1002, fr(0x88, "a")),
		bad("7.3.3 close with a code", 1000, Close(1000, "")),
		bad("7.3.4 close with a reason", 1000, Close(1000, "Hello World!")),
		bad("7.3.5 close of 125 bytes", 1000, Close(1000, strings.Repeat("*", 123))),
		bad("7.3.6 close of 126 bytes", 1002, Close(1000, strings.Repeat("*", 124))),
		bad("7.5.1 a reason that is not text", 1007, Close(1000, kosme+"\xed\xa0\x80edited")),
	}
	for i, n := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cs = append(cs, bad(fmt.Sprintf("7.7.%d close with %d", i+1, n), 1000, Close(n, "")))
	}
	for i, n := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cs = append(cs, bad(fmt.Sprintf("7.9.%d close with %d", i+1, n), 1002, Close(n, "")))
	}
	return cs
}
