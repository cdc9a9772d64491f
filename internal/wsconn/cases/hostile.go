package cases

// Hostile are rows 46 to 51 of our list of hostile inputs, as far as they are
// frames and not in Autobahn's chapters.
func Hostile() []Case {
	unmasked := []byte("\x81\x08unmasked")
	top := []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}
	hollow := seq{fr(0x01, "")}
	for range 3000 {
		hollow = append(hollow, fr(0x00, ""))
	}
	return []Case{
		raw("46 unmasked text", 1002, unmasked),
		{Name: "46 unmasked text behind a good one", Steps: []Step{{Send: []Frame{Text("a")}, Raw: unmasked, Want: []Frame{Text("a")}}}, Code: 1002},
		raw("46 unmasked empty ping", 1002, []byte{0x89, 0x00}),
		raw("46 unmasked close", 1002, []byte("\x88\x02\x03\xe8")),
		raw("46 unmasked, and only two bytes of it", 1002, unmasked[:2]),
		raw("47 top bit of the length", 1002, top),
		raw("47 top bit, seen at once", 1002, top[:3]),
		raw("47 126 for 125 bytes", 1002, []byte{0x82, 0xfe, 0, 125, 1, 2, 3, 4}),
		raw("47 126 for none", 1002, []byte{0x82, 0xfe, 0, 0, 1, 2, 3, 4}),
		raw("47 127 for 65535 bytes", 1002, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}),
		bad("48 fragmented close", 1002, fr(0x08, "\x03\xe8")),
		raw("48 ping with a length of two bytes", 1002, []byte{0x89, 0xfe, 0, 5}),
		raw("48 close with a length of eight bytes", 1002, []byte{0x88, 0xff, 0, 0, 0, 0, 0, 0, 0, 5}),
		bad("49 three thousand empty fragments", 1008, hollow),
		bad("51 compressed, which was never agreed", 1002, fr(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00")),
		bad("51 compressed and empty", 1002, fr(0xc1, "\x02\x00")),
		bad("51 a compressed continuation", 1002, fs(fr(0x41, "\xf2"), fr(0x80, "\x00"))),
	}
}
