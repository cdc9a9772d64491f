package grpcwire_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/hubwire/hubwire/grpcwire"
)

func TestTimeouts(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "4m": 4 * time.Millisecond, "5u": 5 * time.Microsecond, "6n": 6,
		"0S": 0, "00000005S": 5 * time.Second, "99999999H": math.MaxInt64, "99999999n": 99999999,
	} {
		if got, ok := grpcwire.ParseTimeout(s); !ok || got != want {
			t.Errorf("%q: %v, %v; want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "5", "S", "5s", "5X", "-1S", "+1S", " 5S", "5 S", "5S ", "1.5S", "0x1S", "123456789S", "５S"} {
		if got, ok := grpcwire.ParseTimeout(s); ok {
			t.Errorf("%q is taken as %v", s, got)
		}
	}
}

func FuzzTimeout(f *testing.F) {
	for _, s := range []string{"1H", "99999999H", "0n", "5", "5X", "123456789S", "+1S", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := grpcwire.ParseTimeout(s)
		if d < 0 || ok && (len(s) < 2 || len(s) > 9) {
			t.Errorf("%q: %v, %v", s, d, ok)
		}
	})
}

func TestMessages(t *testing.T) {
	for plain, want := range map[string]string{
		"": "", "plain": "plain", "100%": "100%25", "tab\t": "tab%09", "héllo 世": "h%C3%A9llo %E4%B8%96", "\x7f": "%7F", "a\xffb": "a%EF%BF%BDb",
	} {
		got := grpcwire.EncodeMessage(plain)
		if got != want {
			t.Errorf("%q: %q, want %q", plain, got, want)
		}
		if back := grpcwire.DecodeMessage(got); utf8.ValidString(plain) && back != plain {
			t.Errorf("%q comes back as %q", plain, back)
		}
	}
	for in, want := range map[string]string{"%": "%", "%4": "%4", "%zz": "%zz", "%41%": "A%", "%e4%B8%96": "世"} {
		if got := grpcwire.DecodeMessage(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "%", "%4", "%41", "%zz%41", "héllo", "\xff\x00", "a b~"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = grpcwire.DecodeMessage(s)
		e := grpcwire.EncodeMessage(s)
		for _, c := range []byte(e) {
			if c < 0x20 || c > 0x7e {
				t.Fatalf("%q is encoded as %q", s, e)
			}
		}
		if back := grpcwire.DecodeMessage(e); back != strings.ToValidUTF8(s, "\ufffd") {
			t.Fatalf("%q comes back as %q", s, back)
		}
	})
}

func TestBinaryMetadata(t *testing.T) {
	for in, want := range map[string][]string{
		"": {""}, "AQ": {"\x01"}, "AQ==": {"\x01"}, "AQ==, AQI=": {"\x01", "\x01\x02"}, "AQ,,AQI": {"\x01", "", "\x01\x02"},
	} {
		got, ok := grpcwire.AppendBinary(nil, in)
		if !ok || strings.Join(got, "|") != strings.Join(want, "|") || len(got) != len(want) {
			t.Errorf("%q: %q, %v; want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"!!!", "_-8=", "A", "AQ=", "A===", "====", "AQ==AQ==", "A\nQ"} {
		if got, ok := grpcwire.AppendBinary(nil, in); ok {
			t.Errorf("%q is taken as %q", in, got)
		}
	}
}

func FuzzBinaryMetadata(f *testing.F) {
	for _, s := range []string{"", "AQ", "AQ==", "AQ==, AQI=", "!!!", "A===", ",,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := grpcwire.AppendBinary(nil, s)
		if !ok {
			return
		}
		var parts []string
		for _, v := range got {
			parts = append(parts, base64.RawStdEncoding.EncodeToString([]byte(v)))
		}
		again, ok := grpcwire.AppendBinary(nil, strings.Join(parts, ","))
		if !ok || strings.Join(again, "|") != strings.Join(got, "|") {
			t.Errorf("%q: %q, then %q", s, got, again)
		}
	})
}

func TestTextReader(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "AAEC": "\x00\x01\x02", "AQ==": "\x01", "AQ": "\x01", "AQI": "\x01\x02",
		"AQ==AQI=AAEC": "\x01\x01\x02\x00\x01\x02", "A\r\nQ=\n=\r\nAQ==": "\x01\x01",
	} {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)), "with EOF": iotest.DataErrReader(strings.NewReader(in))} {
			got, err := io.ReadAll(grpcwire.NewTextReader(r))
			if err != nil || string(got) != want {
				t.Errorf("%q, %s: %q, %v; want %q", in, name, got, err, want)
			}
		}
	}
	for _, in := range []string{"A", "AQ=A", "====", "!!!!", "AAECA", "AQ==\x00"} {
		if _, err := io.ReadAll(grpcwire.NewTextReader(strings.NewReader(in))); !errors.Is(err, grpcwire.ErrNotBase64) {
			t.Errorf("%q: %v", in, err)
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(grpcwire.NewTextReader(io.MultiReader(strings.NewReader("AAEC"), iotest.ErrReader(broken)))); !errors.Is(err, broken) {
		t.Errorf("an error of the body: %v", err)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "AQ==", "AQ==AQI=", "A\nQ==", "====", "AAECA"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		whole, err := io.ReadAll(grpcwire.NewTextReader(bytes.NewReader(in)))
		cut = max(0, min(len(in), cut))
		parts, err2 := io.ReadAll(grpcwire.NewTextReader(io.MultiReader(bytes.NewReader(in[:cut]), bytes.NewReader(in[cut:]))))
		if !bytes.Equal(whole, parts) || (err == nil) != (err2 == nil) {
			t.Errorf("%q: %q, %v; in two: %q, %v", in, whole, err, parts, err2)
		}
		if std, bad := base64.StdEncoding.DecodeString(string(in)); bad == nil && (err != nil || !bytes.Equal(std, whole)) {
			t.Errorf("%q: %q, %v; want %q", in, whole, err, std)
		}
	})
}

func FuzzInflate(f *testing.F) {
	f.Add(grpcwire.Deflate([]byte("hello")))
	f.Add(grpcwire.Deflate(make([]byte, 100_000)))
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 12
		if out, err := grpcwire.Inflate(in, limit); err == nil && len(out) > limit {
			t.Errorf("%d bytes", len(out))
		}
	})
}
