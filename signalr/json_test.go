package signalr_test

import (
	"strings"
	"testing"

	"github.com/hubwire/hubwire/signalr"
)

// sep writes ␞ as the separator.
func sep(s string) []byte { return []byte(strings.ReplaceAll(s, "␞", "\x1e")) }

// The rows of section 13.1 that a server reads, and the rules of section 4.3.
var jsonReads = []struct{ name, record, want string }{
	{"J1", `{"type":6}␞`, "6"},
	{"J2", `{"target":"Echo","arguments":["hi"],"invocationId":"0","type":1}␞`, `1 id=0 target=Echo args=("hi")`},
	{"J3", `{"target":"Echo","arguments":["hi"],"type":1}␞`, `1 target=Echo args=("hi")`},
	{"J4", `{"target":"Stream","arguments":[],"invocationId":"1","type":4}␞`, `4 id=1 target=Stream args=`},
	{"J5", `{"target":"StreamingConcat","arguments":[],"invocationId":"3","streamIds":["2"],"type":1}␞`, `1 id=3 target=StreamingConcat args= streams=[2]`},
	{"J6", `{"invocationId":"2","item":"a","type":2}␞`, `2 id=2 item="a"`},
	{"J7", `{"invocationId":"2","type":3}␞`, `3 id=2`},
	{"J8", `{"error":"Something bad","invocationId":"2","type":3}␞`, `3 id=2 error="Something bad"`},
	{"J9", `{"invocationId":"1","type":5}␞`, `5 id=1`},
	{"J10", `{"invocationId":"s1","result":10,"type":3}␞`, `3 id=s1 result=10`},
	{"J11", `{"invocationId":"s1","error":"Client didn't provide a result.","type":3}␞`, `3 id=s1 error="Client didn't provide a result."`},
	{"J12", `{"type":7}␞`, `7`},
	{"J13", `{"type":8,"sequenceId":1}␞`, `8 1`},
	{"J14", `{"type":9,"sequenceId":1}␞`, `9 1`},
	{"J15", `{"target":"A","arguments":["x",null,1.5,[1,{"a":true}]],"type":1}␞`, `1 target=A args=("x")(null)(1.5)([1,{"a":true}])`},
	{"J36", `{"type":2,"invocationId":"1","item":null}␞`, `2 id=1 item=null`},
	{"J38, F1", `{"type":99}␞`, `99`},
	{"J43 as a message", `{"version":2,"x":[1],"protocol":"JSON"}␞`, `!InvalidDataException: Missing required property 'type'.`},
	{"J47", `{"arguments":[42],"invocationId":"7","target":"echo","type":1}␞`, `1 id=7 target=echo args=(42)`},
	{"J50", `{"type":1,"target":null,"arguments":[]}␞`, `!InvalidDataException: Expected 'target' to be of type String.`},
	{"J51", `{"type":1,"target":"Echo","invocationId":"9"}␞`, `!InvalidDataException: Missing required property 'arguments'.`},
	{"J52", `{"type":4,"target":"Stream","arguments":[]}␞`, `!InvalidDataException: Missing required property 'invocationId'.`},
	{"J53", `{"type":3,"invocationId":"2","error":"e","result":1}␞`, `!InvalidDataException: The 'error' and 'result' properties are mutually exclusive.`},
	{"J54", `{"type":6,"foo":{"a":[1]}}␞`, `6`},
	{"J55", `{"type":1,"headers":{"traceparent":"00-4bf9"},"target":"Echo","arguments":["x"],"invocationId":"4"}␞`, `1 id=4 target=Echo args=("x") headers=[traceparent=00-4bf9]`},
	{"J58", `{"type":2,"invocationId":"nope","item":1}␞`, `2 id=nope item=1`},

	{"type twice", `{"type":1,"type":6}␞`, `6`},
	{"target twice around arguments (F11)", `{"type":1,"target":"A","arguments":[1],"target":"B"}␞`, `1 target=B args=(1)`},
	{"arguments twice", `{"type":1,"target":"A","arguments":[1,2],"arguments":["b"]}␞`, `1 target=A args=("b")`},
	{"escaped names", `{"\u0074ype":1,"tar\u0067et":"\u0041\ud83d\ude00","arguments":["\u0061"]}␞`, "1 target=A😀 args=(\"\\u0061\")"},
	{"white space", "\r\n\t { \"type\" : 1 ,\n\"target\":\"A\" , \"arguments\" : [ 1 , 2 ] } ␞", `1 target=A args=(1)(2)`},
	{"text behind the object", `{"type":6}x␞`, `6`},
	{"two objects", `{"type":6}{"type":7}␞`, `6`},
	{"case of names", `{"Type":6}␞`, `!InvalidDataException: Missing required property 'type'.`},
	{"no type", `{}␞`, `!InvalidDataException: Missing required property 'type'.`},
	{"type null", `{"type":null}␞`, `!InvalidDataException: Expected 'type' to be of type Number.`},
	{"type text", `{"type":"1"}␞`, `!InvalidDataException: Expected 'type' to be of type Number.`},
	{"type true", `{"type":true}␞`, `!InvalidDataException: Expected 'type' to be of type Number.`},
	{"type 1.0", `{"type":1.0}␞`, `!FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32.`},
	{"type 1e0", `{"type":6e0}␞`, `!FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32.`},
	{"type 2^31", `{"type":2147483648}␞`, `!FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int32.`},
	{"type -1", `{"type":-1}␞`, `-1`},
	{"type 0x10", `{"type":0x10}␞`, `!InvalidDataException: Error reading JSON.`},
	{"sequence text", `{"type":8,"sequenceId":"1"}␞`, `!InvalidDataException: Expected 'sequenceId' to be of type Number.`},
	{"sequence 2^63", `{"type":8,"sequenceId":9223372036854775808}␞`, `!FormatException: Either the JSON value is not in a supported format, or is out of bounds for an Int64.`},
	{"ack without", `{"type":8}␞`, `!InvalidDataException: Missing required property 'sequenceId'.`},
	{"id number", `{"type":3,"invocationId":0}␞`, `!InvalidDataException: Expected 'invocationId' to be of type String.`},
	{"id empty", `{"type":1,"invocationId":"","target":"A","arguments":[]}␞`, `1 id= target=A args=`},
	{"target empty", `{"type":1,"target":"","arguments":[]}␞`, `1 target= args=`},
	{"error null", `{"type":7,"error":null}␞`, `!InvalidDataException: Expected 'error' to be of type String.`},
	{"error empty", `{"type":3,"invocationId":"1","error":""}␞`, `3 id=1 error=""`},
	{"allowReconnect 1", `{"type":7,"allowReconnect":1}␞`, `!InvalidDataException: Expected 'allowReconnect' to be true or false.`},
	{"allowReconnect", `{"type":7,"error":"e","allowReconnect":true}␞`, `7 error="e" reconnect`},
	{"arguments object", `{"type":1,"target":"A","arguments":{}}␞`, `!InvalidDataException: Expected 'arguments' to be of type Array.`},
	{"arguments null", `{"type":1,"target":"A","arguments":null}␞`, `!InvalidDataException: Expected 'arguments' to be of type Array.`},
	{"streamIds null", `{"type":1,"target":"A","arguments":[],"streamIds":null}␞`, `!InvalidDataException: Expected 'streamIds' to be of type Array.`},
	{"null in streamIds", `{"type":1,"target":"A","arguments":[],"streamIds":[null]}␞`, `!InvalidDataException: Null value for 'streamIds' is not valid.`},
	{"number in streamIds", `{"type":1,"target":"A","arguments":[],"streamIds":[1]}␞`, `!InvalidOperationException: Cannot get the value of a token type 'Number' as a string.`},
	{"array in streamIds", `{"type":1,"target":"A","arguments":[],"streamIds":[[]]}␞`, `!InvalidOperationException: Cannot get the value of a token type 'StartArray' as a string.`},
	{"streamIds empty", `{"type":1,"target":"A","arguments":[],"streamIds":[]}␞`, `1 target=A args=`},
	{"headers array", `{"type":6,"headers":[]}␞`, `!InvalidDataException: Expected 'headers' to be of type StartObject.`},
	{"header number", `{"type":6,"headers":{"k":1}}␞`, `!InvalidDataException: Expected header 'k' to be of type String.`},
	{"header twice", `{"type":6,"headers":{"k":"1","k":"2"}}␞`, `6 headers=[k=2]`},
	{"item missing", `{"type":2,"invocationId":"x"}␞`, `!InvalidDataException: Missing required property 'item'.`},
	{"cancel without id", `{"type":5}␞`, `!InvalidDataException: Missing required property 'invocationId'.`},
	{"members of other types", `{"type":6,"invocationId":"1","target":"x","arguments":[1],"error":"e","result":1}␞`, `6 id=1`},
	{"root array", `[]␞`, `!InvalidDataException: Unexpected JSON Token Type 'Array'. Expected a JSON Object.`},
	{"root null", `null␞`, `!InvalidDataException: Unexpected JSON Token Type 'Null'. Expected a JSON Object.`},
	{"root number", `1␞`, `!InvalidDataException: Unexpected JSON Token Type 'Number'. Expected a JSON Object.`},
	{"root text", `"a"␞`, `!InvalidDataException: Unexpected JSON Token Type 'String'. Expected a JSON Object.`},
	{"root false", `false␞`, `!InvalidDataException: Unexpected JSON Token Type 'False'. Expected a JSON Object.`},
	{"J40 empty record", `␞`, `!InvalidDataException: Error reading JSON.`},
	{"byte order mark", "\xef\xbb\xbf{\"type\":6}␞", `!InvalidDataException: Error reading JSON.`},
	{"comment", `{"type":6/*c*/}␞`, `!InvalidDataException: Error reading JSON.`},
	{"trailing comma", `{"type":6,}␞`, `!InvalidDataException: Error reading JSON.`},
	{"cut", `{"type":1,␞`, `!InvalidDataException: Error reading JSON.`},
	{"not JSON", `hello␞`, `!InvalidDataException: Error reading JSON.`},
	{"leading zero", `{"type":1,"target":"A","arguments":[01]}␞`, `!InvalidDataException: Error reading JSON.`},
	{"bad escape", `{"type":1,"target":"A","arguments":["\x"]}␞`, `!InvalidDataException: Error reading JSON.`},
	{"control character", "{\"type\":1,\"target\":\"a\nb\",\"arguments\":[]}␞", `!InvalidDataException: Error reading JSON.`},
	{"deep", `{"type":6,"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}␞`, `6`},
	{"too deep", `{"type":6,"x":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}␞`, `!InvalidDataException: Error reading JSON.`},
	{"comma behind the arguments", `{"type":1,"invocationId":"1","target":"EchoString","arguments":["a",]}␞`,
		`1 id=1 target=EchoString args=("a")!The JSON array contains a trailing comma at the end which is not supported in this mode. Change the reader options. LineNumber: 0 | BytePositionInLine: 68.`},
	{"the same before the target", `{"type":1,"arguments":["a",],"target":"EchoString"}␞`, `!InvalidDataException: Error reading JSON.`},
	{"comma inside an argument", `{"type":1,"target":"A","arguments":[["a",]]}␞`, `1 target=A args=(["a",])`},
	{"not UTF-8 in an argument", "{\"type\":1,\"target\":\"A\",\"arguments\":[\"\xff\"]}␞", `1 target=A args=(22ff22)`},
	{"not UTF-8 elsewhere", "{\"type\":6,\"x\":\"\xff\"}␞", `6`},
	{"not UTF-8 in a target", "{\"type\":1,\"target\":\"\xc3\",\"arguments\":[]}␞", `!InvalidOperationException: Cannot transcode invalid UTF-8 JSON text to UTF-16 string.`},
	{"half a surrogate pair in a target", `{"type":1,"target":"\ud800","arguments":[]}␞`, `!InvalidOperationException: Cannot read incomplete UTF-16 JSON text as string with missing low surrogate.`},
}

func TestJSONReads(t *testing.T) {
	for _, r := range jsonReads {
		t.Run(r.name, func(t *testing.T) { checkReads(t, "json", sep(r.record), r.want) })
	}
}

func checkReads(t *testing.T, protocol string, b []byte, want string) {
	t.Helper()
	list, rest, err := signalr.Records(protocol, b)
	got := strings.Join(list, "; ")
	if err != nil {
		got = "!" + err.Error()
	} else if len(rest) > 0 {
		got += " …"
	}
	if got != want {
		t.Errorf("%q\n got %s\nwant %s", b, got, want)
	}
}

func TestJSONStream(t *testing.T) {
	checkReads(t, "json", sep(`{"type":6}␞{"type":3,"invocationId":"0","result":1}␞`), "6; 3 id=0 result=1")
	checkReads(t, "json", sep(`{"type":6}␞{"type":`), "6 …")
	checkReads(t, "json", nil, "")
}

// The rows of section 13.1 that a server writes.
func TestJSONWrites(t *testing.T) {
	w := signalr.NewWriter("json")
	event := func(name, id string, args ...string) []byte {
		var raw [][]byte
		for _, a := range args {
			raw = append(raw, []byte(a))
		}
		b, err := w.Protocol().AppendEvent(nil, name, id, raw)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	none, closed, empty := (*string)(nil), new("Connection closed with an error."), new("")
	for _, r := range []struct {
		name string
		got  []byte
		want string
	}{
		{"J16", w.Result(nil, "0", "hi"), `{"type":3,"invocationId":"0","result":"hi"}␞`},
		{"J17", w.Result(nil, "0", nil), `{"type":3,"invocationId":"0","result":null}␞`},
		{"J18", w.Failure("0", "Failed to invoke 'X' due to an error on the server. HubException: Method does not exist."), `{"type":3,"invocationId":"0","error":"Failed to invoke 'X' due to an error on the server. HubException: Method does not exist."}␞`},
		{"J19", w.Item("1", "a"), `{"type":2,"invocationId":"1","item":"a"}␞`},
		{"J20", w.End("1"), `{"type":3,"invocationId":"1"}␞`},
		{"J21", event("Message", "", `"m"`), `{"type":1,"target":"Message","arguments":["m"]}␞`},
		{"two arguments", event("Message", "", `"m"`, `1`), `{"type":1,"target":"Message","arguments":["m",1]}␞`},
		{"J22", event("Result", "s1"), `{"type":1,"invocationId":"s1","target":"Result","arguments":[]}␞`},
		{"J23", w.Ping(), `{"type":6}␞`},
		{"J24", w.Close(none, false), `{"type":7}␞`},
		{"J25", w.Close(none, true), `{"type":7,"allowReconnect":true}␞`},
		{"J26", w.Close(closed, true), `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}␞`},
		{"J27", w.Close(closed, false), `{"type":7,"error":"Connection closed with an error."}␞`},
		{"empty Close error", w.Close(empty, false), `{"type":7,"error":""}␞`},
		{"empty error", w.Failure("1", ""), `{"type":3,"invocationId":"1"}␞`},
		{"escapes", w.Failure("1\"", "a\"b\n<é>"), `{"type":3,"invocationId":"1\"","error":"a\"b\n<é>"}␞`},
	} {
		if string(r.got) != string(sep(r.want)) {
			t.Errorf("%s:\n got %q\nwant %q", r.name, r.got, sep(r.want))
		}
	}
}
