package wsconn_test

import (
	"strings"
	"testing"

	"github.com/hubwire/hubwire/internal/wsconn"
)

func TestAppend(t *testing.T) {
	long := strings.Repeat("x", 130)
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"header of nothing", wsconn.AppendHeader(nil, wsconn.OpText, 0), "\x81\x00"},
		{"header of 125", wsconn.AppendHeader(nil, wsconn.OpBinary, 125), "\x82\x7d"},
		{"header of 126", wsconn.AppendHeader(nil, wsconn.OpText, 126), "\x81\x7e\x00\x7e"},
		{"header of 65535", wsconn.AppendHeader(nil, wsconn.OpText, 65535), "\x81\x7e\xff\xff"},
		{"header of 65536", wsconn.AppendHeader(nil, wsconn.OpText, 65536), "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
		{"text", wsconn.AppendFrame([]byte("before"), true, []byte("abc")), "before\x81\x03abc"},
		{"binary", wsconn.AppendFrame(nil, false, []byte("abc")), "\x82\x03abc"},
		{"ping", wsconn.AppendPing(nil, []byte("abc")), "\x89\x03abc"},
		{"long ping", wsconn.AppendPing(nil, []byte(long)), "\x89\x7d" + long[:125]},
		{"pong", wsconn.AppendPong(nil, nil), "\x8a\x00"},
		{"close", wsconn.AppendClose(nil, 1000, ""), "\x88\x02\x03\xe8"},
		{"close with a reason", wsconn.AppendClose(nil, 4999, "bye"), "\x88\x05\x13\x87bye"},
		{"close without a status", wsconn.AppendClose(nil, 0, "lost"), "\x88\x00"},
		{"close with 1005", wsconn.AppendClose(nil, 1005, "lost"), "\x88\x00"},
		{"close with a long reason", wsconn.AppendClose(nil, 1000, long), "\x88\x7d\x03\xe8" + long[:123]},
		{"close with a reason cut at a character", wsconn.AppendClose(nil, 1000, long[:121]+"\u65e5\u672c"), "\x88\x7b\x03\xe8" + long[:121]},
		{"close with a reason of exactly 123 bytes", wsconn.AppendClose(nil, 1000, long[:120]+"\u65e5"), "\x88\x7d\x03\xe8" + long[:120] + "\u65e5"},
		{"close with a reason that is not UTF-8", wsconn.AppendClose(nil, 1000, "a\xffb"), "\x88\x07\x03\xe8a\ufffdb"},
	}
	for _, tt := range tests {
		if string(tt.got) != tt.want {
			t.Errorf("%s:\n got %q\nwant %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestCloseCodes(t *testing.T) {
	var good []int
	for code := range 1 << 16 {
		if wsconn.ValidCode(code) {
			good = append(good, code)
		}
	}
	if len(good) != 12+2000 || good[3] != 1003 || good[4] != 1007 || good[11] != 1014 || good[12] != 3000 || good[2011] != 4999 {
		t.Errorf("%d codes are valid: %v", len(good), good[:min(len(good), 20)])
	}
}
