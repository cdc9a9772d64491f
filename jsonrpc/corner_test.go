package jsonrpc_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire/jsonrpc"
)

// A corner is one body that comes alone, and what the answers to it are. In a want
// that begins with "[" the answers stand in one array.
type corner struct {
	name string
	in   string
	want []string
}

func result(id, v string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":` + v + `}`
}

// The examples of section 7 of the specification, in its words.
var examples = []corner{
	{"1 positional", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, []string{result("1", "19")}},
	{"2 positional, the other way", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`, []string{result("2", "-19")}},
	{"3 named", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, []string{result("3", "19")}},
	{"4 named, the other way", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`, []string{result("4", "19")}},
	{"5 notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, nil},
	{"6 unknown notification", `{"jsonrpc": "2.0", "method": "foobar"}`, nil},
	{"7 unknown method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, []string{`-32601 "1"`}},
	{"8 broken object", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, []string{"-32700 null"}},
	{"9 method is a number", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, []string{"-32600 null"}},
	{"10 broken batch", `[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]`, []string{"-32700 null"}},
	{"11 empty batch", `[]`, []string{"-32600 null"}},
	{"12 batch of a number", `[1]`, []string{"[", "-32600 null"}},
	{"13 batch of numbers", `[1,2,3]`, []string{"[", "-32600 null", "-32600 null", "-32600 null"}},
	{"14 batch", `[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
    ]`, []string{"[", result(`"1"`, "7"), result(`"2"`, "19"), "-32600 null", `-32601 "5"`, result(`"9"`, `["hello",5]`)}},
	{"15 batch of notifications", `[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
    ]`, nil},
}

func asked(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}`
}

func pong(id string) string { return result(id, `"pong"`) }

// corners are the odd bodies. 31 is the answer null of a handler; 49 is told in
// TestIDTwiceInFlight.
var corners = []corner{
	{"16 id null", asked("null"), []string{pong("null")}},
	{"17 id with a fraction", asked("1.5"), []string{pong("1.5")}},
	{"18 id with a fraction of zero", asked("1.0"), []string{pong("1.0")}},
	{"19 id with an exponent", asked("1e2"), []string{pong("1e2")}},
	{"20 negative id", asked("-7"), []string{pong("-7")}},
	{"21 id 2^53+1", asked("9007199254740993"), []string{pong("9007199254740993")}},
	{"22 id 10^22", asked("10000000000000000000000"), []string{pong("10000000000000000000000")}},
	{"23 id true", asked("true"), []string{"-32600 null"}},
	{"24 id an object", asked("{}"), []string{"-32600 null"}},
	{"25 id an array", asked("[]"), []string{"-32600 null"}},
	{"26 params a string", `{"jsonrpc":"2.0","id":26,"method":"ping","params":"x"}`, []string{"-32600 26"}},
	{"26 params a number, notification", `{"jsonrpc":"2.0","method":"update","params":1}`, []string{"-32600 null"}},
	{"27 params null", `{"jsonrpc":"2.0","id":27,"method":"ping","params":null}`, []string{pong("27")}},
	{"28 no version", `{"id":28,"method":"ping"}`, []string{"-32600 28"}},
	{"29 another version", `{"jsonrpc":"1.0","id":29,"method":"ping"}`, []string{"-32600 29"}},
	{"29 version a number", `{"jsonrpc":2.0,"id":29,"method":"ping"}`, []string{"-32600 29"}},
	{"30 more members", `{"jsonrpc":"2.0","id":30,"method":"ping","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","x":{"y":[1]}}`, []string{pong("30")}},
	{"30 a trace that is none", `{"jsonrpc":"2.0","id":30,"method":"ping","traceparent":7,"tracestate":{}}`, []string{pong("30")}},
	{"31 result nil", `{"jsonrpc":"2.0","id":31,"method":"nothing"}`, []string{result("31", "null")}},
	{"32 method twice", `{"jsonrpc":"2.0","id":32,"method":"nothing","method":"ping"}`, []string{"-32600 32"}},
	{"33 id twice", `{"jsonrpc":"2.0","id":1,"method":"ping","id":33}`, []string{"-32600 null"}},
	{"34 members in the wrong case", `{"jsonrpc":"2.0","ID":34,"Method":"ping"}`, []string{"-32600 null"}},
	{"34 the id in the wrong case", `{"jsonrpc":"2.0","ID":34,"method":"ping"}`, nil},
	{"35 method null", `{"jsonrpc":"2.0","id":35,"method":null}`, []string{"-32600 35"}},
	{"36 method empty", `{"jsonrpc":"2.0","id":36,"method":""}`, []string{"-32601 36"}},
	{"37 as deep as may be", `{"jsonrpc":"2.0","id":37,"method":"echo","params":[` + nested(999, "") + `]}`, []string{result("37", nested(999, ""))}},
	{"37 one deeper", `{"jsonrpc":"2.0","id":37,"method":"echo","params":[` + nested(1001, "") + `]}`, []string{"-32700 null"}},
	{"38 very deep", `{"jsonrpc":"2.0","id":38,"method":"echo","params":[` + nested(100_000, "") + `]}`, []string{"-32700 null"}},
	{"38 very deep, open", `{"jsonrpc":"2.0","id":38,"method":"echo","params":` + strings.Repeat(`[`, 100_000), []string{"-32700 null"}},
	{"39 a huge number", `{"jsonrpc":"2.0","id":39,"method":"echo","params":[1e400]}`, []string{result("39", "1e400")}},
	{"40 a long number", `{"jsonrpc":"2.0","id":40,"method":"echo","params":[123456789012345678901234567890]}`, []string{result("40", "123456789012345678901234567890")}},
	{"41 an id that is not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":\"\xff\",\"method\":\"ping\"}", []string{"-32700 null"}},
	{"41 a method that is not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":41,\"method\":\"\xff\"}", []string{"-32700 null"}},
	{"41 a parameter that is not UTF-8", "{\"jsonrpc\":\"2.0\",\"id\":41,\"method\":\"text\",\"params\":[\"\xff\"]}", []string{"-32602 41"}},
	{"42 an id that is half of a pair", asked(`"\ud800"`), []string{pong(`"\ud800"`)}},
	{"42 an id with escapes", asked(`"\u0041\/\u00e9"`), []string{pong(`"\u0041\/\u00e9"`)}},
	{"43 a byte order mark", "\xEF\xBB\xBF" + asked("43"), []string{pong("43")}},
	{"44 more behind the message", asked("44") + "xyz", []string{"-32700 null"}},
	{"45 an answer to nothing", `{"jsonrpc":"2.0","id":45,"result":1}`, nil},
	{"45 an answer with id null", `{"jsonrpc":"2.0","id":null,"result":1}`, nil},
	{"46 an error to nothing", `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"x"}}`, nil},
	{"46 an error without an id", `{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"}}`, nil},
	{"47 result and error", `{"jsonrpc":"2.0","id":47,"result":1,"error":{"code":1,"message":"x"}}`, nil},
	{"48 method and result", `{"jsonrpc":"2.0","id":48,"method":"ping","result":1}`, []string{"-32600 48"}},
	{"50 a bare number", `42`, []string{"-32600 null"}},
	{"51 an empty object", `{}`, []string{"-32600 null"}},

	// Rows 61, 62 and 65 of the list of adversaries.
	{"batches in a batch", `[[],[[]],[{"jsonrpc":"2.0","id":1,"method":"ping"}]]`, []string{"[", "-32600 null", "-32600 null", "-32600 null"}},
	{"a batch of answers", `[{"jsonrpc":"2.0","id":1,"result":1},{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}]`, nil},
	{"a mixed batch", `[{"jsonrpc":"2.0","id":1,"result":1},` + asked("2") + `,{"jsonrpc":"2.0","method":"foobar"},{"id":3,"method":"ping"},null,"x"]`,
		[]string{"[", pong("2"), "-32600 3", "-32600 null", "-32600 null"}},
	{"a batch with an id twice", `[` + asked("1") + `,` + asked(`"1"`) + `,` + asked("null") + `,` + asked("null") + `]`, []string{"[", pong("1"), pong(`"1"`), pong("null"), pong("null")}},
	{"a batch with more behind it", `[` + asked("1") + `],`, []string{"-32700 null"}},
	{"a batch with white space", " \r\n\t[ " + asked("1") + "\n,\t" + asked("2") + " ] ", []string{"[", pong("1"), pong("2")}},
	{"named with one too many", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":{"minuend":1,"subtrahend":2,"x":3}}`, []string{"-32602 1"}},
	{"named with one missing", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":{"minuend":1}}`, []string{"-32602 1"}},
	{"named in the wrong case", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":{"Minuend":1,"subtrahend":2}}`, []string{"-32602 1"}},
	{"named with one twice", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":{"minuend":1,"minuend":1,"subtrahend":2}}`, []string{"-32602 1"}},
	{"positional with one too many", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":[1,2,3]}`, []string{"-32602 1"}},
	{"positional with one missing", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":[1]}`, []string{"-32602 1"}},
	{"positional of the wrong type", `{"jsonrpc":"2.0","id":1,"method":"subtract","params":["1",2]}`, []string{"-32602 1"}},
	{"arguments where there are none", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}`, []string{"-32602 1"}},
	{"an empty list where there are none", `{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, []string{pong("1")}},
	{"an empty object where there are none", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{}}`, []string{pong("1")}},
	{"wrong arguments of a notification", `{"jsonrpc":"2.0","method":"slow","params":{"a":1,"b":2}}`, nil},
	{"a method rpc.", `{"jsonrpc":"2.0","id":1,"method":"rpc.nothing"}`, []string{"-32601 1"}},
	{"a method $/", `{"jsonrpc":"2.0","id":1,"method":"$/nothing"}`, []string{"-32601 1"}},
	{"a notification $/", `{"jsonrpc":"2.0","method":"$/nothing","params":{"x":1}}`, nil},
	{"a method with escapes", `{"jsonrpc":"2.0","id":1,"method":"\u0070ing"}`, []string{pong("1")}},
	{"a member with escapes", `{"jsonrpc":"2.0","\u0069d":1,"method":"ping"}`, []string{pong("1")}},
	{"a huge id", asked(`"` + strings.Repeat("x", 100_000) + `"`), []string{pong(`"` + strings.Repeat("x", 100_000) + `"`)}},
	{"a name of 10 kB", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 10_000) + `"}`, []string{"-32601 1"}},
	{"nothing", ``, []string{"-32700 null"}},
	{"blanks", "  \t ", []string{"-32700 null"}},
	{"comments", `{"jsonrpc":"2.0","id":1,"method":"ping"/*x*/}`, []string{"-32700 null"}},
	{"single quotes", `{'jsonrpc':'2.0','id':1,'method':'ping'}`, []string{"-32700 null"}},
	{"bare names", `{jsonrpc:"2.0",id:1,method:"ping"}`, []string{"-32700 null"}},
	{"a comma too many", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, []string{"-32700 null"}},
	{"NaN", `{"jsonrpc":"2.0","id":NaN,"method":"ping"}`, []string{"-32700 null"}},
	{"a raw control character", "{\"jsonrpc\":\"2.0\",\"id\":\"a\tb\",\"method\":\"ping\"}", []string{"-32700 null"}},
	{"half a message", `{"jsonrpc":"2.0","id":1,`, []string{"-32700 null"}},
	{"zero bytes", "\x00\x00\x00", []string{"-32700 null"}},
}

func nested(n int, inner string) string {
	return strings.Repeat("[", n) + inner + strings.Repeat("]", n)
}

// Each odd body comes alone; the connection answers as the tables say, and a ping
// afterwards.
func TestCorners(t *testing.T) {
	for _, f := range []jsonrpc.Framing{jsonrpc.Header, jsonrpc.Length} {
		for _, c := range append(examples, corners...) {
			t.Run(fmt.Sprint(f, "/", c.name), func(t *testing.T) { // one bubble each: they end with it
				synctest.Test(t, func(t *testing.T) {
					r := serveRaw(t, newHub(newGated()), &jsonrpc.Options{Framing: f})
					r.send(c.in)
					got, want := r.settle(), c.want
					if len(want) > 0 && want[0] == "[" {
						if len(got) != 1 {
							t.Fatalf("%d messages for a batch: %q", len(got), got)
						}
						got, want = members(t, got[0]), want[1:]
					}
					same(t, c.in[:min(len(c.in), 200)], got, want...)
					r.alive()
				})
			})
		}
	}
}

// Lenient takes what StreamJsonRpc takes.
func TestLenient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), &jsonrpc.Options{Lenient: true})
		for _, c := range []corner{
			{"no version", `{"id":28,"method":"ping"}`, []string{pong("28")}},
			{"another version", `{"jsonrpc":"JSONRPC","id":29,"method":"ping"}`, []string{pong("29")}},
			{"method twice", `{"jsonrpc":"2.0","id":32,"method":"nothing","method":"ping"}`, []string{pong("32")}},
			{"id twice", `{"jsonrpc":"2.0","id":1,"method":"ping","id":33}`, []string{pong("33")}},
			{"params twice", `{"jsonrpc":"2.0","id":34,"method":"subtract","params":[1],"params":[5,2]}`, []string{result("34", "3")}},
			{"params a list, then an object", `{"jsonrpc":"2.0","id":34,"method":"subtract","params":[1,2,3],"params":{"minuend":9,"subtrahend":2}}`, []string{result("34", "7")}},
			{"method and result", `{"jsonrpc":"2.0","id":48,"method":"ping","result":1}`, []string{pong("48")}},
			{"method and error", `{"jsonrpc":"2.0","id":48,"method":"ping","error":{}}`, []string{pong("48")}},
			{"id true all the same", asked("true"), []string{"-32600 null"}},
			{"no JSON all the same", `{`, []string{"-32700 null"}},
		} {
			r.send(c.in)
			same(t, c.name, r.settle(), c.want...)
		}
		r.alive()
	})
}

// CloseOnBad ends the connection where an answer would be a surprise.
func TestCloseOnBad(t *testing.T) {
	for _, c := range []struct{ in, why string }{
		{`{`, "Parse error"}, {`[]`, "batch is empty"}, {`42`, "a message is an object"}, {`{}`, "there is no method"}, {asked("true"), "an id is"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := serveRaw(t, newHub(nil), jsonrpc.StreamJsonRpc())
			r.alive()
			r.send(c.in)
			same(t, c.in, r.settle())
			r.dead(c.why)
		})
	}
}

// JSON-RPC 1.0, as StreamJsonRpc speaks it; and net/rpc/jsonrpc.
func TestVersion1(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serveRaw(t, newHub(nil), &jsonrpc.Options{Version1: true})
		for _, c := range []corner{
			{"request", `{"id":1,"method":"subtract","params":[5,2]}`, []string{`{"id":1,"result":3,"error":null}`}},
			{"named", `{"id":2,"method":"subtract","params":{"minuend":5,"subtrahend":2}}`, []string{`{"id":2,"result":3,"error":null}`}},
			{"result null", `{"id":3,"method":"nothing","params":[]}`, []string{`{"id":3,"result":null,"error":null}`}},
			{"notification", `{"id":null,"method":"update","params":[1]}`, nil},
			{"no id", `{"method":"ping","params":[]}`, nil},
			{"an answer", `{"id":77,"result":1,"error":null}`, nil},
			{"an error", `{"id":77,"result":null,"error":"no"}`, nil},
		} {
			r.send(c.in)
			same(t, c.name, r.settle(), c.want...)
		}
		r.send(`{"id":"x","method":"none","params":[]}`)
		got := r.settle()
		if len(got) != 1 || !strings.HasPrefix(got[0], `{"id":"x","error":{"code":-32601,"message":"`) || !strings.HasSuffix(got[0], `"},"result":null}`) {
			t.Errorf("an error of 1.0: %q", got)
		}
		r.send(`{"id":4,"method":5}`)
		if got := r.settle(); len(got) != 1 || !strings.Contains(got[0], `"id":4,"error":{"code":-32600`) {
			t.Errorf("a method that is a number: %q", got)
		}
		r.send(`{"id":9,"method":"ping","params":[]}`)
		same(t, "ping", r.settle(), `{"id":9,"result":"pong","error":null}`)
	})
}
