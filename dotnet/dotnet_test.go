package dotnet_test

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire/dotnet"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

var (
	_ encoding.TextAppender    = dotnet.Guid{}
	_ encoding.TextMarshaler   = dotnet.Guid{}
	_ encoding.TextUnmarshaler = (*dotnet.Guid)(nil)
	_ encoding.TextAppender    = dotnet.DateTimeOffset{}
	_ encoding.TextMarshaler   = dotnet.DateTimeOffset{}
	_ encoding.TextUnmarshaler = (*dotnet.DateTimeOffset)(nil)
	_ json.Marshaler           = dotnet.DateTimeOffset{}
	_ json.Unmarshaler         = (*dotnet.DateTimeOffset)(nil)
	_ msgpack.Appender         = dotnet.DateTimeOffset{}
	_ msgpack.Decoder          = (*dotnet.DateTimeOffset)(nil)
)

// What is local is five hours and a half behind UTC, in all tests here.
func TestMain(m *testing.M) {
	time.Local = time.FixedZone("local", -(5*60+30)*60)
	os.Exit(m.Run())
}

// An empty want is an error. All of it was asked of ASP.NET Core 10.
var times = []struct{ in, want string }{
	{"2002-04-01T10:20:15Z", "2002-04-01T10:20:15+00:00"},
	{"2002-04-01T10:20:15+02:00", "2002-04-01T10:20:15+02:00"},
	{"2002-04-01T10:20:15.1234567-05:30", "2002-04-01T10:20:15.1234567-05:30"},
	{"2002-04-01T10:20:15.500Z", "2002-04-01T10:20:15.5+00:00"},
	{"2002-04-01T10:20:15.12345678Z", "2002-04-01T10:20:15.1234567+00:00"},
	{"2002-04-01T10:20:15.99999999Z", "2002-04-01T10:20:15.9999999+00:00"},
	{"2002-04-01T10:20:15.1234567890123456Z", "2002-04-01T10:20:15.1234567+00:00"},
	{"2002-04-01T10:20:15.12345678901234567Z", ""},
	{"2002-04-01T10:20Z", "2002-04-01T10:20:00+00:00"},
	{"2002-04-01T10:20+02:00", "2002-04-01T10:20:00+02:00"},
	{"2002-04-01", "2002-04-01T00:00:00-05:30"},
	{"2002-04-01T10:20:15", "2002-04-01T10:20:15-05:30"},
	{"2002-04-01T10:20", "2002-04-01T10:20:00-05:30"},
	{"2002-04-01T10:20:15+02", "2002-04-01T10:20:15+02:00"},
	{"2002-04-01T10:20:15-05", "2002-04-01T10:20:15-05:00"},
	{"2002-04-01T10:20:15-00:00", "2002-04-01T10:20:15+00:00"},
	{"2002-04-01T10:20:15-00:01", "2002-04-01T10:20:15-00:01"},
	{"2002-04-01T10:20:15+14:00", "2002-04-01T10:20:15+14:00"},
	{"2002-04-01T10:20:15-14:00", "2002-04-01T10:20:15-14:00"},
	{"2004-02-29T00:00:00Z", "2004-02-29T00:00:00+00:00"},
	{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"},
	{"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999+00:00"},
	{"0001-01-01T02:00:00+02:00", "0001-01-01T02:00:00+02:00"},
	{"2002-04-01 10:20:15Z", ""}, {"2002-04-01t10:20:15z", ""}, {"2002-04-01T10:20:15z", ""}, {"2002-13-01T10:20:15Z", ""}, {"2002-00-01", ""}, {"2002-01-00", ""}, {"soon", ""}, {"", ""},
	{"2002-04-01T10", ""}, {"2002-04-01T10Z", ""}, {"2002-04-01Z", ""}, {"2002-04-01T", ""}, {"2002-04", ""}, {"2002-04-01T10:20:15.", ""}, {"2002-04-01T10:20:15.Z", ""}, {"2002-04-01T10:20:15,5Z", ""}, {"2002-04-01T10:20.5Z", ""},
	{"2002-04-01T24:00:00Z", ""}, {"2002-04-01T23:60:00Z", ""}, {"2002-04-01T23:59:60Z", ""}, {"2002-02-29T00:00:00Z", ""},
	{"2002-04-01T10:20:15+14:01", ""}, {"2002-04-01T10:20:15+15:00", ""}, {"2002-04-01T10:20:15+13:60", ""}, {"2002-04-01T10:20:15+0200", ""}, {"2002-04-01T10:20:15+2:00", ""}, {"2002-04-01T10:20:15+02:00:00", ""}, {"2002-04-01T10:20:15+", ""}, {"2002-04-01T10:20:15Z+00:00", ""},
	{"0001-01-01T00:00:00+02:00", ""}, {"0000-01-01T00:00:00Z", ""}, {"9999-12-31T23:59:59-01:00", ""}, {"2002-04-01T10:20:15 ", ""}, {" 2002-04-01T10:20:15Z", ""}, {"+2002-04-01T10:20:15Z", ""}, {"20020401T102015Z", ""}, {"2002-04-01T10:20:15Zé", ""}, {"2002-04-01T1\u0660:20:15Z", ""},
}

func TestTimeText(t *testing.T) {
	for _, c := range times {
		d, err := dotnet.ParseDateTimeOffset(c.in)
		if (err == nil) != (c.want != "") || err == nil && d.String() != c.want {
			t.Errorf("%q: %v, %v, want %q", c.in, d, err, c.want)
		}
		var j dotnet.DateTimeOffset
		quoted := jsonwire.AppendString(nil, c.in)
		err = jsonwire.Codec{}.Decode(quoted, &j)
		if (err == nil) != (c.want != "") || err == nil && j.String() != c.want {
			t.Errorf("%s: %v, %v", quoted, j, err)
		}
		if err != nil {
			continue
		}
		if out, err := (jsonwire.Codec{}).Append(nil, j); string(out) != `"`+c.want+`"` || err != nil {
			t.Errorf("%s: %s, %v", quoted, out, err)
		}
		// Through MessagePack and back.
		out, err := msgpack.Codec{}.Append(nil, j)
		var m dotnet.DateTimeOffset
		if err != nil || (msgpack.Codec{}).Decode(out, &m) != nil || m.String() != c.want || !m.Equal(j.Time) {
			t.Errorf("%s: MessagePack %x, %v, comes back as %v", c.in, out, err, m)
		}
	}
	var d dotnet.DateTimeOffset
	if err := json.Unmarshal([]byte(`"2002-04-01T10:20:15\u005A"`), &d); err != nil || d.Second() != 15 {
		t.Error(d, err)
	}
	for _, src := range []string{`1017656415`, `null`, `{}`, `true`, `""`, `"\ud800"`} {
		if err := (jsonwire.Codec{}).Decode([]byte(src), &d); err == nil {
			t.Errorf("%s: %v", src, d)
		}
	}
	var p *dotnet.DateTimeOffset
	if err := (jsonwire.Codec{}).Decode([]byte(`null`), &p); err != nil || p != nil {
		t.Error(p, err)
	}
}

// TestTimeMsgpack has the recordings of messagepack/echo-time and more; those
// with the same bytes out say so with "=".
func TestTimeMsgpack(t *testing.T) {
	for in, want := range map[string]string{
		"92d6ff3ca8345f00": "=", "92d6ff3ca8345f78": "=", "92d7ff1d5353003ca8345fd1feb6": "=", "92c70cff00000000fffffff1886e090000": "=", "92d6ff3ca8507f78": "=",
		"92d6ff3ca8345fcd0348": "=", "92d6ff3ca8345fd1fcb8": "=", "92c70cff00000000fffffff1886e0900d080": "=",
		"92c704ff3ca8345f00": "92d6ff3ca8345f00", "92d7ff0000018c3ca8345f00": "92d6ff3ca8345f00", "92d6ff3ca8345fd3000000000000003c": "92d6ff3ca8345f3c",
		"d6ff3ca8345f": "", "b4323030322d30342d30315431303a32303a31355a": "", "91d6ff3ca8345f": "", "93d6ff3ca8345f0000": "", "92d6ff3ca8345fcd1388": "", "920100": "", "c0": "", "80": "", "90": "",
		"92d6ff3ca8345fcd0349": "", "92d6ff3ca8345fd1fcb7": "", "92d6ff3ca8345fcb3ff0000000000000": "", "92d6ff3ca8345fc0": "", "92d6ff3ca8345fd3ffffffff00000000": "",
		"92c70cff00000000fffffff1886e090078": "", "92c70cff3b9ac99c0000003afff4417fd0ff": "", "92d7ffee6b28000000000000": "", "92c70cff000000007fffffffffffffff00": "", "92c70cff00000000800000000000000000": "", "92d5ff000000": "", "92d6053ca8345f00": "",
	} {
		src, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		var d dotnet.DateTimeOffset
		err = msgpack.Codec{}.Decode(src, &d)
		if (err == nil) != (want != "") {
			t.Errorf("%s: %v, %v", in, d, err)
		}
		if err != nil {
			continue
		}
		if want == "=" {
			want = in
		}
		if out, err := (msgpack.Codec{}).Append(nil, d); hex.EncodeToString(out) != want || err != nil {
			t.Errorf("%s: %x, %v", in, out, err)
		}
	}
}

func TestTimeOutOfRange(t *testing.T) {
	for name, at := range map[string]time.Time{
		"year 0": time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC), "year 10000": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "offset": time.Now().In(time.FixedZone("", 15*3600)),
		"clock before year 1": time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).In(time.FixedZone("", -60)), "clock in year 10000": time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).In(time.FixedZone("", 60)),
	} {
		d := dotnet.NewDateTimeOffset(at)
		if b, err := (jsonwire.Codec{}).Append(nil, d); err == nil {
			t.Errorf("%s: %s", name, b)
		}
		if b, err := (msgpack.Codec{}).Append(nil, d); err == nil {
			t.Errorf("%s: %x", name, b)
		}
		if s := d.String(); !strings.Contains(s, "-") {
			t.Errorf("%s: %q", name, s)
		}
	}
	// An offset with seconds loses them, the instant stays.
	d := dotnet.DateTimeOffset{Time: time.Date(1890, 1, 1, 0, 0, 0, 150, time.FixedZone("LMT", -(17*60+30)))}
	if want := "1890-01-01T00:00:30.0000001-00:17"; d.String() != want {
		t.Errorf("%v, want %s", d, want)
	}
	if got := dotnet.NewDateTimeOffset(d.Time).Nanosecond(); got != 100 {
		t.Error(got)
	}
}

func TestGuid(t *testing.T) {
	for in, want := range map[string]string{
		"00010203-0405-0607-0706-050403020100": "00010203-0405-0607-0706-050403020100", "ABCDEF01-2345-6789-ABCD-ef0123456789": "abcdef01-2345-6789-abcd-ef0123456789", "00000000-0000-0000-0000-000000000000": "00000000-0000-0000-0000-000000000000",
		"{00010203-0405-0607-0706-050403020100}": "", "(00010203-0405-0607-0706-050403020100)": "", "00010203040506070706050403020100": "", "": "", "x": "", "00010203-0405-0607-0706-05040302010G": "", "00010203-0405-0607-0706-0504030201000": "",
		"00010203-0405-0607-0706-05040302010": "", "000102030-405-0607-0706-050403020100": "", "00010203+0405-0607-0706-050403020100": "", "urn:uuid:00010203-0405-0607-0706-050403": "", " 0010203-0405-0607-0706-050403020100": "", "0001020\u00e9-0405-0607-0706-05040302010": "",
	} {
		g, err := dotnet.ParseGuid(in)
		if (err == nil) != (want != "") || err == nil && g.String() != want || err != nil && g != (dotnet.Guid{}) {
			t.Errorf("%q: %v, %v", in, g, err)
		}
		var j, m dotnet.Guid
		quoted := jsonwire.AppendString(nil, in)
		if jerr := (jsonwire.Codec{}).Decode(quoted, &j); (jerr == nil) != (want != "") || j != g {
			t.Errorf("%s: %v, %v", quoted, j, jerr)
		}
		str := msgpack.AppendString(nil, in)
		if merr := (msgpack.Codec{}).Decode(str, &m); (merr == nil) != (want != "") || m != g {
			t.Errorf("%x: %v, %v", str, m, merr)
		}
		if err != nil {
			continue
		}
		if b, err := (jsonwire.Codec{}).Append(nil, g); string(b) != `"`+want+`"` || err != nil {
			t.Errorf("%s, %v", b, err)
		}
		if b, err := (msgpack.Codec{}).Append(nil, g); string(b) != "\xd9\x24"+want || err != nil {
			t.Errorf("%x, %v", b, err)
		}
		if b, err := json.Marshal(map[dotnet.Guid]int{g: 1}); string(b) != `{"`+want+`":1}` || err != nil {
			t.Errorf("as a key: %s, %v", b, err)
		}
	}
	g := dotnet.NewGuid()
	for _, src := range []string{`null`, `5`, `{}`} {
		if before := g; (jsonwire.Codec{}).Decode([]byte(src), &g) == nil || g != before {
			t.Errorf("%s: %v", src, g)
		}
	}
	for _, src := range []string{"\xc0", "\x05", "\xc4\x10\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f"} {
		if before := g; (msgpack.Codec{}).Decode([]byte(src), &g) == nil || g != before {
			t.Errorf("%x: %v", src, g)
		}
	}
	var p *dotnet.Guid
	if err := (jsonwire.Codec{}).Decode([]byte(`null`), &p); p != nil || err != nil {
		t.Error(p, err)
	}
	if err := (msgpack.Codec{}).Decode([]byte{0xC0}, &p); p != nil || err != nil {
		t.Error(p, err)
	}
}

func TestNewGuid(t *testing.T) {
	seen := map[dotnet.Guid]bool{}
	for range 100 {
		g := dotnet.NewGuid()
		if s := g.String(); s[14] != '4' || !strings.ContainsRune("89ab", rune(s[19])) || seen[g] {
			t.Fatal(s)
		}
		seen[g] = true
	}
}

func FuzzDateTimeOffset(f *testing.F) {
	for _, c := range times {
		f.Add(c.in, []byte(c.in))
	}
	f.Add("", []byte("\x92\xd6\xff\x3c\xa8\x34\x5f\x78"))
	f.Fuzz(func(t *testing.T, s string, b []byte) {
		if d, err := dotnet.ParseDateTimeOffset(s); err == nil {
			again, err := dotnet.ParseDateTimeOffset(d.String())
			if err != nil || !again.Equal(d.Time) || again.String() != d.String() {
				t.Fatalf("%q: %v, again %v, %v", s, d, again, err)
			}
		}
		var d dotnet.DateTimeOffset
		if (msgpack.Codec{}).Decode(b, &d) == nil {
			if again, err := dotnet.ParseDateTimeOffset(d.String()); err != nil || !again.Equal(d.Time) {
				t.Fatalf("%x: %v, again %v, %v", b, d, again, err)
			}
		}
		if g, err := dotnet.ParseGuid(s); err == nil && !strings.EqualFold(g.String(), s) {
			t.Fatalf("%q: %v", s, g)
		}
	})
}

func ExampleDateTimeOffset() {
	paris := time.FixedZone("CEST", 2*60*60)
	d := dotnet.NewDateTimeOffset(time.Date(2026, time.July, 1, 20, 15, 0, 0, paris))
	b, _ := json.Marshal(d)
	fmt.Println(string(b), d.UTC().Hour())
	// Output: "2026-07-01T20:15:00+02:00" 18
}

func ExampleParseGuid() {
	g, err := dotnet.ParseGuid("ABCDEF01-2345-6789-ABCD-EF0123456789")
	fmt.Println(g, err)
	// Output: abcdef01-2345-6789-abcd-ef0123456789 <nil>
}
