package signalr_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// The rows of sections 13.2 and 13.3 that a server reads, and the rules of
// sections 5.1 to 5.3.
var msgpackReads = []struct{ name, hex, want string }{
	{"M1", "029106", "6"},
	{"M2", "0e950180a130a44563686f91a26869", "1 id=0 target=Echo args=(a26869)"},
	{"M3", "0d950180c0a44563686f91a26869", "1 target=Echo args=(a26869)"},
	{"M4, with its right length", "0e950480a131a653747265616d9105", "4 id=1 target=Stream args=(05)"},
	{"M5", "19960180a133af53747265616d696e67436f6e6361749091a132", "1 id=3 target=StreamingConcat args= streams=[2]"},
	{"M6", "07940280a132a161", "2 id=2 item=a161"},
	{"M7", "06940380a13202", "3 id=2"},
	{"M8", "0a950380a13201a3626164", `3 id=2 error="bad"`},
	{"M9", "05930580a131", "5 id=1"},
	{"M10", "08950380a27331030a", "3 id=s1 result=0a"},
	{"M11", "27950380a2733101bf436c69656e74206469646e27742070726f76696465206120726573756c742e", `3 id=s1 error="Client didn't provide a result."`},
	{"M12", "039207c0", "7"},
	{"M13", "03920801", "8 1"},
	{"M15", "059208cd012c", "8 300"},
	{"M16", "03920901", "9 1"},
	{"M18", "0c950181a161a162a130a15490", "1 id=0 target=T args= headers=[a=b]"},
	{"M20", "23950180c0a44563686f98a1782acb3ff8000000000000ffc0c3c4020102d6ff3ca8345f", "1 target=Echo args=(a178)(*)(cb3ff8000000000000)(ff)(c0)(c3)(c4020102)(d6ff3ca8345f)"},
	{"M32", "049307c0c3", "7 reconnect"},
	{"M33", "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3", `7 error="Connection closed with an error." reconnect`},
	{"M37, F1", "029163", "99"},
	{"M40", "02910609950380a13003a26869", "6; 3 id=0 result=a26869"},
	{"M41", "0391", " …"},
	{"M42", "ffffffff0f", "!FormatException: Messages over 2GB in size are not supported."},
	{"P1", "11960180a378797aa66d6574686f64912a90", "1 id=xyz target=method args=(*)"},
	{"P2", "0e960180c0a66d6574686f64912a90", "1 target=method args=(*)"},
	{"P3", "11960480a378797aa66d6574686f64912a90", "4 id=xyz target=method args=(*)"},
	{"P4", "08940280a378797a2a", "2 id=xyz item=*"},
	{"P5", "0e950380a378797a01a54572726f72", `3 id=xyz error="Error"`},
	{"P6", "08940380a378797a02", "3 id=xyz"},
	{"P7", "09950380a378797a032a", "3 id=xyz result=*"},
	{"P8", "07930580a378797a", "5 id=xyz"},
	{"P10", "069207a378797a", `7 error="xyz"`},
	{"P11", "079307a378797ac3", `7 error="xyz" reconnect`},
	{"P12", "049208cc24", "8 36"},
	{"P13", "049209cc13", "9 19"},
	{"P14", "19960182a178a179a17aa17aa378797aa66d6574686f64912a90", "1 id=xyz target=method args=(*) headers=[x=y z=z]"},

	{"length in five bytes", "8280808000 9106", "6"},
	{"length in six bytes", "828080808000 9106", "!FormatException: Messages over 2GB in size are not supported."},
	{"length zero", "00", "!EndOfStreamException: Attempted to read past the end of the stream."},
	{"the largest length", "ffffffff07", " …"},
	{"length cut", "8080", " …"},
	{"no array", "0106", "!MessagePackSerializationException: Unexpected msgpack code 6 (positive fixint) encountered."},
	{"map", "03810102", "!MessagePackSerializationException: Unexpected msgpack code 129 (fixmap) encountered."},
	{"nil", "01c0", "!MessagePackSerializationException: Unexpected msgpack code 192 (nil) encountered."},
	{"c1", "01c1", "!MessagePackSerializationException: Unexpected msgpack code 193 ((never used)) encountered."},
	{"empty array", "0190", "!InvalidDataException: Reading 'messageType' as Int32 failed."},
	{"type nil", "0291c0", "!InvalidDataException: Reading 'messageType' as Int32 failed."},
	{"type double", "0a91cb3ff0000000000000", "!InvalidDataException: Reading 'messageType' as Int32 failed."},
	{"type beyond int32", "0b92cf000000010000000080", "!InvalidDataException: Reading 'messageType' as Int32 failed."},
	{"type int32", "0691d200000006", "6"},
	{"type -1", "0291ff", "-1"},
	{"one element", "029101", "!InvalidDataException: Reading map length for 'headers' failed."},
	{"headers nil", "149601c0a131aa4563686f537472696e6791a16190", "!InvalidDataException: Reading map length for 'headers' failed."},
	{"headers array", "14960190a131aa4563686f537472696e6791a16190", "!InvalidDataException: Reading map length for 'headers' failed."},
	{"header empty", "0c960181a178a0a131a1419090", "!InvalidDataException: Null or empty value in header."},
	{"header without name", "0c960181a0a178a131a1419090", "!InvalidDataException: Null or empty key in header."},
	{"header number", "0c960181a17801a131a1419090", "!InvalidDataException: Reading 'headers[0].Value' as String failed."},
	{"header twice", "10960182a178a179a178a17aa131a1419090", "!ArgumentException: An item with the same key has already been added. Key: x"},
	{"id number", "08960180 01 a1419090", "!InvalidDataException: Reading 'invocationId' as String failed."},
	{"id empty", "08960180 a0 a1419090", "1 id= target=A args="},
	{"id nil of a stream", "08960480 c0 a1419090", "!InvalidDataException: Null or empty invocation ID for StreamInvocation message."},
	{"id nil of an item", "05940280c001", "!InvalidDataException: Null or empty invocation ID for StreamItem message."},
	{"id nil of a completion", "05940380c002", "!InvalidDataException: Null or empty invocation ID for Completion message."},
	{"id nil of a cancel", "04930580c0", "!InvalidDataException: Null or empty invocation ID for CancelInvocation message."},
	{"cancel without id", "03920580", "!InvalidDataException: Reading 'invocationId' as String failed."},
	{"target nil", "08960180a131c09090", "!InvalidDataException: Null or empty target for Invocation message."},
	{"target empty", "08960180a131a09090", "!InvalidDataException: Null or empty target for Invocation message."},
	{"target bytes", "0a960180a131c401419090", "!InvalidDataException: Reading 'target' as String failed."},
	{"target str32", "0d960180a131db00000001419090", "1 id=1 target=A args="},
	{"target not UTF-8", "0a960180a131a2c3289090", "1 id=1 target=\uFFFD( args="},
	{"four elements", "07940180a131a141", "1 id=1 target=A args=!Reading array length for 'arguments' failed."},
	{"arguments number", "09960180a131a1410090", "1 id=1 target=A args=!Reading array length for 'arguments' failed."},
	{"arguments nil", "09960180a131a141c090", "1 id=1 target=A args=!Reading array length for 'arguments' failed."},
	{"arguments array32", "0f960180a131a141dd00000001a16190", "1 id=1 target=A args=(a161)"},
	{"fewer arguments than the head says", "0a950180a131a14192a161", "1 id=1 target=A args=(a161)()"},
	{"arguments of array32 of 2^32-1", "0c950180a131a141ddffffffff", "1 id=1 target=A args=!Reading array length for 'arguments' failed."},
	{"str32 of 2^32-1 as an argument", "0d950180a131a14191dbffffffff", "1 id=1 target=A args=()"},
	{"c1 as an argument", "09950180a131a14191c1", "1 id=1 target=A args=()"},
	{"streamIds nil", "09960180a131a14190c0", "!InvalidDataException: Reading array length for 'streamIds' failed."},
	{"nil in streamIds", "0a960180a131a1419091c0", "!InvalidDataException: Null or empty value in streamIds received."},
	{"empty in streamIds", "0a960180a131a1419091a0", "!InvalidDataException: Null or empty value in streamIds received."},
	{"number in streamIds", "0a960180a131a141909101", "!MessagePackSerializationException: Unexpected msgpack code 1 (positive fixint) encountered."},
	{"nine elements", "0c990180a131a1419090c0c0c0", "1 id=1 target=A args="},
	{"bytes behind the array", "0c960180a131a1419090010203", "1 id=1 target=A args="},
	{"item missing", "05930280a178", "2 id=x item="},
	{"kind 0", "06940380a17800", "!InvalidDataException: Invalid invocation result kind."},
	{"kind 1 nil", "07950380a17801c0", "3 id=x"},
	{"kind 1 without error", "06940380a17801", "!InvalidDataException: Reading 'error' as String failed."},
	{"kind 2 with more", "07950380a1780205", "3 id=x"},
	{"kind 3 without result", "06940380a17803", "!EndOfStreamException: Attempted to read past the end of the stream."},
	{"Close of one", "029107", "!InvalidDataException: Reading 'error' as String failed."},
	{"Close error number", "03920705", "!InvalidDataException: Reading 'error' as String failed."},
	{"Close reconnect number", "049307c001", "!InvalidDataException: Reading 'allowReconnect' as Boolean failed."},
	{"Ack without number", "029108", "!InvalidDataException: Reading 'sequenceId' as Int64 failed."},
	{"body cut", "0291cc", "!InvalidDataException: Reading 'messageType' as Int32 failed."},
}

func TestMsgpackReads(t *testing.T) {
	for _, r := range msgpackReads {
		t.Run(r.name, func(t *testing.T) { checkReads(t, "messagepack", unhex(r.hex), r.want) })
	}
}

func TestMsgpackWrites(t *testing.T) {
	w := signalr.NewWriter("messagepack")
	event := func(name, id string, args ...string) []byte {
		var raw [][]byte
		for _, a := range args {
			raw = append(raw, unhex(a))
		}
		b, err := w.Protocol().AppendEvent([]byte("x"), name, id, raw)
		if err != nil {
			t.Fatal(err)
		}
		return b[1:]
	}
	closed, empty := new("Connection closed with an error."), new("")
	for _, r := range []struct {
		name string
		got  []byte
		want string
	}{
		{"M21", w.Ping(), "029106"},
		{"M22", event("Send", "", "a474657374"), "10960180c0a453656e6491a47465737490"},
		{"M23", event("Result", "s1"), "0f960180a27331a6526573756c749090"},
		{"M24", w.Result(nil, "0", "hi"), "09950380a13003a26869"},
		{"M25", w.Result(nil, "0", nil), "07950380a13003c0"},
		{"M27", w.Failure("0", "Failed to invoke 'X' due to an error on the server. HubException: Method does not exist."), "60950380a13001d9584661696c656420746f20696e766f6b65202758272064756520746f20616e206572726f72206f6e20746865207365727665722e20487562457863657074696f6e3a204d6574686f6420646f6573206e6f742065786973742e"},
		{"M28", w.Item("1", "a"), "07940280a131a161"},
		{"M29", w.End("1"), "06940380a13102"},
		{"M30", w.Failure("1", "An error occurred on the server while streaming results."), "40950380a13101d938416e206572726f72206f63637572726564206f6e2074686520736572766572207768696c652073747265616d696e6720726573756c74732e"},
		{"M31", w.Close(nil, false), "049307c0c2"},
		{"M32", w.Close(nil, true), "049307c0c3"},
		{"M33", w.Close(closed, true), "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec3"},
		{"M34", w.Close(closed, false), "259307d920436f6e6e656374696f6e20636c6f736564207769746820616e206572726f722ec2"},
		{"empty Close error", w.Close(empty, true), "049307c0c3"},
		{"empty error", w.Failure("1", ""), "07950380a13101a0"},
	} {
		if !bytes.Equal(r.got, unhex(r.want)) {
			t.Errorf("%s:\n got %x\nwant %s", r.name, r.got, r.want)
		}
	}
	// The length prefix of a long message takes two bytes.
	long := w.Result(nil, "0", strings.Repeat("a", 200))
	if want := append(unhex("d001 950380a13003 d9c8"), bytes.Repeat([]byte("a"), 200)...); !bytes.Equal(long, want) {
		t.Errorf("long result: %x", long[:16])
	}
}
