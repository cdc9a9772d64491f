package signalr_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/wire"
)

// Errors and results of calls, with and without details (section 6.3).
func TestCalls(t *testing.T) {
	const (
		failed   = `{"type":3,"invocationId":"1","error":"Failed to invoke '%s' due to an error on the server.%s"}`
		broke    = `{"type":3,"invocationId":"1","error":"An unexpected error occurred invoking '%s' on the server.%s"}`
		noMethod = " HubException: Method does not exist."
		binding  = " InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked."
	)
	for _, r := range []struct {
		name, target, args string
		plain, detailed    string // detailed: where it differs
	}{
		{"J16", "Echo", `"hi"`, `{"type":3,"invocationId":"1","result":"hi"}`, ""},
		{"case of the name", "eCHO", `"hi"`, `{"type":3,"invocationId":"1","result":"hi"}`, ""},
		{"J17", "Nothing", ``, `{"type":3,"invocationId":"1","result":null}`, ""},
		{"J18", "X", `1`, fmt.Sprintf(failed, "X", noMethod), ""},
		{"empty name", "", ``, fmt.Sprintf(failed, "", noMethod), ""},
		{"J48", "echo", `42`, fmt.Sprintf(failed, "Echo", ""), fmt.Sprintf(failed, "Echo", binding)},
		{"J49", "Echo", `"a","b"`, fmt.Sprintf(failed, "Echo", ""), fmt.Sprintf(failed, "Echo", " InvalidDataException: Invocation provides 2 argument(s) but target expects 1.")},
		{"two arguments", "Add", `1,2`, `{"type":3,"invocationId":"1","result":3}`, ""},
		{"too few", "Add", `1`, fmt.Sprintf(failed, "Add", ""), fmt.Sprintf(failed, "Add", " InvalidDataException: Invocation provides 1 argument(s) but target expects 2.")},
		{"null for a number", "Add", `1,null`, fmt.Sprintf(failed, "Add", ""), fmt.Sprintf(failed, "Add", binding)},
		{"three arguments", "List", `1,[2],{"a":3}`, `{"type":3,"invocationId":"1","result":3}`, ""},
		{"an error", "Fail", `"why"`, fmt.Sprintf(broke, "Fail", ""), fmt.Sprintf(broke, "Fail", " InvalidOperationException: why")},
		{"a public error", "FailHub", `"why"`, fmt.Sprintf(broke, "FailHub", " HubException: why"), ""},
		{"an empty public error", "FailHub", `""`, fmt.Sprintf(broke, "FailHub", " HubException: "), ""},
		{"a panic", "Boom", ``, fmt.Sprintf(broke, "Boom", ""), fmt.Sprintf(broke, "Boom", " Error: panic: boom")},
		{"unauthorized", "Secret", ``, `{"type":3,"invocationId":"1","error":"Failed to invoke 'Secret' because user is unauthorized"}`, ""},
		{"a stream", "count", `1`, `{"type":3,"invocationId":"1","error":"The client attempted to invoke the streaming 'Count' method with a non-streaming invocation."}`, ""},
		{"uploads missing", "Sum", ``, fmt.Sprintf(broke, "Sum", " HubException: Client sent 0 stream(s), Hub method expects 1."), ""},
		{"an argument instead of an upload", "Sum", `1`, fmt.Sprintf(failed, "Sum", ""), fmt.Sprintf(failed, "Sum", " InvalidDataException: Invocation provides 1 argument(s) but target expects 0.")},
	} {
		for _, detailed := range []bool{false, true} {
			want := r.plain
			if detailed && r.detailed != "" {
				want = r.detailed
			}
			t.Run(fmt.Sprintf("%s/%v", r.name, detailed), func(t *testing.T) {
				s := serve(t, newHub(t, &hubwire.Options{DetailedErrors: detailed}).Hub, nil)
				p := s.connect("json")
				p.call("1", r.target, r.args)
				p.want(want)
				p.call("2", "Echo", `"still here"`)
				p.want(`{"type":3,"invocationId":"2","result":"still here"}`)
			})
		}
	}
}

// Without an id nothing is answered, errors neither (J3).
func TestCallsWithoutAnswer(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	p.records(`{"type":1,"target":"Echo","arguments":["a"]}␞{"type":1,"invocationId":"","target":"X","arguments":[]}␞{"type":1,"target":"Fail","arguments":["a"]}␞{"type":1,"target":"NaN","arguments":[]}␞{"type":1,"target":"ToMe","arguments":["hi"]}␞`)
	p.want(`{"type":1,"target":"Receive","arguments":["hi"]}`)
	p.call("1", "Echo", `"a"`)
	p.want(`{"type":3,"invocationId":"1","result":"a"}`)

	q := s.connect("messagepack")
	q.records("0d950180c0a44563686f91a26869" + "08960180a0a1589090" + "0e950180a131a44563686f91a26869")
	q.want("09950380a13103a26869")
}

func TestCallsMsgpack(t *testing.T) {
	const noStart = "Failed to invoke 'Echo' due to an error on the server."
	str := func(s string) string {
		if len(s) < 32 {
			return fmt.Sprintf("%02x%x", 0xA0+len(s), s)
		}
		return fmt.Sprintf("d9%02x%x", len(s), s)
	}
	frame := func(body string) string {
		n := len(body) / 2
		if n < 128 {
			return fmt.Sprintf("%02x%s", n, body)
		}
		return fmt.Sprintf("%02x%02x%s", n&0x7F|0x80, n>>7, body)
	}
	failure := func(text string) string { return frame("950380a13101" + str(text)) }
	for _, r := range []struct {
		name, in, plain, detailed string
	}{
		{"M24", "0e950180a131a44563686f91a26869", "09950380a13103a26869", ""},
		{"arguments number", frame("960180a131" + str("Echo") + "0090"), failure(noStart), failure(noStart + " InvalidDataException: Reading array length for 'arguments' failed.")},
		{"no arguments", frame("940180a131" + str("Echo")), failure(noStart), failure(noStart + " InvalidDataException: Reading array length for 'arguments' failed.")},
		{"fewer than the head says", frame("950180a131" + str("Echo") + "92a161"), failure(noStart), failure(noStart + " InvalidDataException: Invocation provides 2 argument(s) but target expects 1.")},
		{"one, cut", frame("950180a131" + str("Echo") + "91a2"), failure(noStart), failure(noStart + " InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.")},
		{"registered case", frame("950180a131" + str("eCHO") + "9101"), failure(noStart), failure(noStart + " InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.")},
		{"the client's case, of streams", frame("950480a131" + str("COUNT") + "9190"), failure("Failed to invoke 'COUNT' due to an error on the server."), failure("Failed to invoke 'COUNT' due to an error on the server. InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.")},
		{"not UTF-8", frame("960180a131a2c3289090"), failure("Failed to invoke '\uFFFD(' due to an error on the server. HubException: Method does not exist."), ""},
	} {
		for _, detailed := range []bool{false, true} {
			want := r.plain
			if detailed && r.detailed != "" {
				want = r.detailed
			}
			t.Run(fmt.Sprintf("%s/%v", r.name, detailed), func(t *testing.T) {
				s := serve(t, newHub(t, &hubwire.Options{DetailedErrors: detailed}).Hub, nil)
				p := s.connect("messagepack")
				p.records(r.in)
				p.want(want)
			})
		}
	}
}

func TestFailureTexts(t *testing.T) {
	for _, r := range []struct {
		err  error
		want string
	}{
		{&wire.Fault{Kind: wire.StreamFailed, Err: errors.New("x")}, "An error occurred on the server while streaming results. Error: x"},
		{&wire.Fault{Kind: wire.NilStream, Name: "S"}, "The value returned by the streaming method 'S' is not a ChannelReader<> or IAsyncEnumerable<>."},
		{&wire.Fault{Kind: wire.MustNotStream, Name: "S"}, "The client attempted to invoke the non-streaming 'S' method with a streaming invocation."},
		{&wire.Fault{Kind: wire.Failed, Name: "S", Err: InvalidValue("x")}, "An unexpected error occurred invoking 'S' on the server. InvalidValue: x"},
		{errors.New("x"), "An unexpected error occurred. Error: x"},
	} {
		if got := signalr.FailureText(r.err, true); got != r.want {
			t.Errorf("got  %s\nwant %s", got, r.want)
		}
	}
}

type InvalidValue string

func (e InvalidValue) Error() string { return string(e) }

// Calls of one connection run one after the other, and their sends come before
// their results.
func TestOrderOfCalls(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	var all strings.Builder
	for i := range 50 {
		fmt.Fprintf(&all, `{"type":1,"invocationId":"%d","target":"ToMe","arguments":["%d"]}␞`, i, i)
	}
	p.records(all.String())
	for i := range 50 {
		p.want(fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, i), fmt.Sprintf(`{"type":3,"invocationId":"%d","result":null}`, i))
	}
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, newHub(t, nil).Hub, nil)
		p := s.connect("json")
		stream := func(id, target, args string) {
			p.records(`{"type":4,"invocationId":"` + id + `","target":"` + target + `","arguments":[` + args + `]}␞`)
		}
		stream("1", "Count", "2") // J4, J19, J20
		p.want(`{"type":2,"invocationId":"1","item":0}`, `{"type":2,"invocationId":"1","item":1}`, `{"type":3,"invocationId":"1"}`)
		stream("2", "Count", "3")
		p.want(`{"type":2,"invocationId":"2","item":0}`, `{"type":2,"invocationId":"2","item":1}`, `{"type":2,"invocationId":"2","item":2}`,
			`{"type":3,"invocationId":"2","error":"An error occurred on the server while streaming results."}`)
		stream("3", "Echo", `"a"`)
		p.want(`{"type":3,"invocationId":"3","error":"The client attempted to invoke the non-streaming 'Echo' method with a streaming invocation."}`)

		// An id in use is refused, and the first stream can still be cancelled (F9).
		stream("s", "Forever", "")
		p.want(`{"type":2,"invocationId":"s","item":0}`)
		stream("s", "Count", "1")
		p.want(`{"type":3,"invocationId":"s","error":"Invocation ID 's' is already in use."}`)
		p.records(`{"type":5,"invocationId":"s"}␞`) // J9
		p.want(`{"type":3,"invocationId":"s"}`)

		// A cancel right behind, and one for nobody (J57).
		p.records(`{"type":4,"invocationId":"c","target":"Forever","arguments":[]}␞{"type":5,"invocationId":"c"}␞{"type":5,"invocationId":"nope"}␞`)
		for p.record() != `{"type":3,"invocationId":"c"}` { // perhaps behind an item
		}

		// Streams run beside ordinary calls.
		p.call("h", "Hang", "")
		stream("b", "Count", "1")
		p.want(`{"type":2,"invocationId":"b","item":0}`, `{"type":3,"invocationId":"b"}`)

		// Without an id nothing is sent.
		p.records(`{"type":4,"invocationId":"","target":"Count","arguments":[1]}␞`)
		synctest.Wait()
		if len(p.frames) != 0 {
			t.Errorf("%q", p.next().payload)
		}
	})
}

func TestUploads(t *testing.T) { synctest.Test(t, testUploads) }

func testUploads(t *testing.T) {
	call := func(p *peer, id, target, streams string) {
		p.records(`{"type":1,"invocationId":"` + id + `","target":"` + target + `","arguments":[],"streamIds":[` + streams + `]}␞`)
	}
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")

	call(p, "1", "Sum", `"a"`) // J5 to J7
	p.records(`{"type":2,"invocationId":"a","item":1}␞{"type":2,"invocationId":"a","item":2}␞{"type":3,"invocationId":"a"}␞{"type":2,"invocationId":"a","item":4}␞{"type":3,"invocationId":"a"}␞`)
	p.want(`{"type":3,"invocationId":"1","result":3}`)

	call(p, "2", "Sum", `"a"`) // a result in the Completion is ignored
	p.records(`{"type":3,"invocationId":"a","result":5}␞`)
	p.want(`{"type":3,"invocationId":"2","result":0}`)

	call(p, "3", "Sum", `"a"`) // J8
	p.records(`{"type":2,"invocationId":"a","item":1}␞{"type":3,"invocationId":"a","error":"Something bad"}␞`)
	p.want(`{"type":3,"invocationId":"3","error":"An unexpected error occurred invoking 'Sum' on the server. HubException: Something bad"}`)

	call(p, "4", "Problem", `"a"`)
	p.records(`{"type":2,"invocationId":"a","item":1}␞{"type":3,"invocationId":"a","error":""}␞`)
	p.want(`{"type":3,"invocationId":"4","result":""}`)

	call(p, "5", "Problem", `"a"`) // an item of the wrong type ends the stream
	p.records(`{"type":2,"invocationId":"a","item":1}␞{"type":2,"invocationId":"a","item":"x"}␞{"type":2,"invocationId":"a","item":2}␞{"type":3,"invocationId":"a"}␞`)
	p.want(`{"type":3,"invocationId":"5","result":"Failed to bind Stream message."}`)

	call(p, "6", "TakeTwo", `"a"`) // what comes behind the end of the method is dropped (F10)
	var many strings.Builder
	for range 200 {
		many.WriteString(`{"type":2,"invocationId":"a","item":1}␞`)
	}
	p.records(many.String())
	p.want(`{"type":3,"invocationId":"6","result":2}`)
	p.records(many.String())

	call(p, "7", "Sum", `"x","y"`)
	p.want(`{"type":3,"invocationId":"7","error":"An unexpected error occurred invoking 'Sum' on the server. HubException: Client sent 2 stream(s), Hub method expects 1."}`)
	call(p, "8", "Echo", `"x"`)
	p.want(`{"type":3,"invocationId":"8","error":"Failed to invoke 'Echo' due to an error on the server."}`)

	call(p, "z", "Sum", `"z"`) // a call's own id
	p.records(`{"type":2,"invocationId":"z","item":1}␞{"type":3,"invocationId":"z"}␞`)
	p.want(`{"type":3,"invocationId":"z","result":1}`)

	call(p, "9", "Sum", `"t"`) // taken over: the first gets nothing more
	call(p, "10", "Sum", `"t"`)
	p.records(`{"type":2,"invocationId":"t","item":1}␞{"type":3,"invocationId":"t"}␞{"type":2,"invocationId":"t","item":1}␞`)
	p.want(`{"type":3,"invocationId":"10","result":1}`)

	p.records(`{"type":4,"invocationId":"m","target":"Mirror","arguments":[],"streamIds":["n"]}␞{"type":2,"invocationId":"n","item":1}␞`)
	p.want(`{"type":2,"invocationId":"m","item":2}`)
	synctest.Wait() // until the handler waits for the next item
	p.records(`{"type":5,"invocationId":"m"}␞{"type":2,"invocationId":"n","item":2}␞{"type":3,"invocationId":"n"}␞`)
	p.want(`{"type":2,"invocationId":"m","item":4}`, `{"type":3,"invocationId":"m"}`) // as recorded (section 6.5)

	p.records(`{"type":2,"invocationId":"nope","item":1}␞`) // J58
	p.call("11", "Echo", `"still here"`)
	p.want(`{"type":3,"invocationId":"11","result":"still here"}`)
}

func TestWrongItemDetailed(t *testing.T) {
	s := serve(t, newHub(t, &hubwire.Options{DetailedErrors: true}).Hub, nil)
	p := s.connect("json")
	p.records(`{"type":1,"invocationId":"1","target":"Problem","arguments":[],"streamIds":["a"]}␞{"type":2,"invocationId":"a","item":"x"}␞`)
	p.want(`{"type":3,"invocationId":"1","result":"Failed to bind Stream message. JsonException: The JSON value could not be converted to System.Int64. Path: $ | LineNumber: 0 | BytePositionInLine: 3."}`)
}

// An upload is open until its connection ends; what waits for a handler that
// does not read is bounded, and the reader goes on meanwhile.
func TestUploadsOfAHandlerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		p := s.connect("json")
		p.call("0", "Block", "")
		p.records(`{"type":1,"invocationId":"1","target":"Sum","arguments":[],"streamIds":["a"]}␞`)
		p.records(`{"type":1,"invocationId":"2","target":"TakeTwo","arguments":[],"streamIds":["a"]}␞`) // never read on
		item := `{"type":2,"invocationId":"a","item":` + strings.Repeat(" ", 10<<10) + `1}␞`
		p.records(item)
		p.records(item)
		p.want(`{"type":3,"invocationId":"2","result":2}`)

		// Now a call whose handler waits for another stream.
		p.records(`{"type":4,"invocationId":"3","target":"Mirror","arguments":[],"streamIds":["m"]}␞`)
		done := make(chan int)
		go func() { // ends when the socket is not read any more, and the test with it
			n := 0
			for ; n < 1000; n++ {
				if p.trySend(0x81, []byte(strings.Repeat(" ", 20<<10)+"{\"type\":1,\"invocationId\":\"w\",\"target\":\"Echo\",\"arguments\":[\"x\"]}\x1e")) != nil {
					break
				}
			}
			done <- n
		}()
		synctest.Wait()
		select {
		case n := <-done:
			t.Fatalf("all %d calls were read", n)
		default: // the socket is not read
		}
		p.c.Close()
		if n := <-done; n < 3 || n > 20 {
			t.Errorf("%d calls of 20 KiB were read", n)
		}
		hub.wantGone(t, "") // noticed by the next ping
	})
}

func TestClientResults(t *testing.T) {
	s := serve(t, newHub(t, nil).Hub, nil)
	p := s.connect("json")
	question := func(call string) string {
		t.Helper()
		p.call(call, "Ask", `"q"`)
		rec := p.record()
		id := member(rec, "invocationId")
		if rec != `{"type":1,"invocationId":"`+id+`","target":"Answer","arguments":["q"]}` || !strings.HasPrefix(id, "s") {
			t.Fatal(rec)
		}
		return id
	}
	broke := func(call, text string) string {
		return `{"type":3,"invocationId":"` + call + `","error":"An unexpected error occurred invoking 'Ask' on the server. HubException: ` + text + `"}`
	}
	p.records(`{"type":3,"invocationId":"` + question("1") + `","result":"yes"}␞`) // J10
	p.want(`{"type":3,"invocationId":"1","result":"yes"}`)
	p.records(`{"type":3,"invocationId":"` + question("2") + `","error":"no"}␞`) // J11
	p.want(broke("2", "no"))
	p.records(`{"type":3,"invocationId":"` + question("3") + `","error":""}␞`)
	p.want(broke("3", ""))
	p.records(`{"type":3,"invocationId":"` + question("4") + `"}␞`)
	p.want(broke("4", "Exception of type 'Microsoft.AspNetCore.SignalR.HubException' was thrown."))
	id := question("5")
	p.call("6", "Echo", `"meanwhile"`) // the question frees the slot
	p.want(`{"type":3,"invocationId":"6","result":"meanwhile"}`)
	p.records(`{"type":3,"invocationId":"` + id + `","result":"late"}␞{"type":3,"invocationId":"` + id + `","result":"again"}␞`)
	p.want(`{"type":3,"invocationId":"5","result":"late"}`)
	p.records(`{"type":3,"invocationId":"s999","result":1}␞`) // nobody asks
	p.call("7", "Echo", `"still here"`)
	p.want(`{"type":3,"invocationId":"7","result":"still here"}`)
}

// Headers come to the trace hook, and go with questions.
func TestTraceHeaders(t *testing.T) {
	var got []string
	hub := newHub(t, &hubwire.Options{
		TraceIn: func(ctx contextT, headers map[string]string) contextT {
			got = append(got, headers["traceparent"])
			return ctx
		},
		TraceOut: func(contextT) map[string]string { return map[string]string{"traceparent": "00-ab"} },
	})
	s := serve(t, hub.Hub, nil)
	p := s.connect("json")
	p.records(`{"type":1,"headers":{"traceparent":"00-4bf9"},"target":"Echo","arguments":["x"],"invocationId":"4"}␞`) // J55
	p.want(`{"type":3,"invocationId":"4","result":"x"}`)
	p.call("1", "Ask", `"q"`)
	if rec := p.record(); !strings.HasPrefix(rec, `{"type":1,"headers":{"traceparent":"00-ab"},"invocationId":"s1",`) {
		t.Error(rec)
	}
	q := s.connect("messagepack")
	q.records("1f950181ab7472616365706172656e74a530302d6162a132a44563686f91a178")
	q.want("08950380a13203a178")
	if len(got) != 2 || got[0] != "00-4bf9" || got[1] != "00-ab" {
		t.Errorf("%q", got)
	}
}

// All answers to one read may share a message; none is split, and the messages
// made of several stay below 64 KiB.
func TestFraming(t *testing.T) {
	w := signalr.NewWriter("json")
	recs := func(sizes ...int) (list []wire.Record) {
		for _, n := range sizes {
			list = append(list, wire.Record{Bytes: append(bytes.Repeat([]byte("a"), n-1), 0x1E)})
		}
		return list
	}
	for _, r := range []struct{ sizes, want []int }{
		{[]int{10}, []int{10}},
		{[]int{10, 20, 30}, []int{60}},
		{[]int{40 << 10, 24 << 10, 1}, []int{64 << 10, 1}},
		{[]int{40 << 10, 24<<10 + 1}, []int{40 << 10, 24<<10 + 1}},
		{[]int{10, 100 << 10, 10, 10}, []int{10, 100 << 10, 20}},
	} {
		b := w.Framing().Append(nil, recs(r.sizes...))
		br := bytes.NewReader(b)
		var got []int
		for br.Len() > 0 {
			op, payload, err := readFrame(br)
			if op != 1 || err != nil {
				t.Fatal(op, err)
			}
			got = append(got, len(payload))
		}
		if fmt.Sprint(got) != fmt.Sprint(r.want) {
			t.Errorf("%v: messages of %v, want %v", r.sizes, got, r.want)
		}
	}
	m := signalr.NewWriter("messagepack")
	if b := m.Framing().Append(nil, []wire.Record{{Bytes: m.Ping()}}); !bytes.Equal(b, unhex("8203029106")) {
		t.Errorf("%x", b)
	}
	if w.Framing() == m.Framing() || w.Framing() != signalr.NewWriter("json").Framing() {
		t.Error("framings are not compared by protocol")
	}
}

func TestSize(t *testing.T) {
	if signalr.ConnSize > 208 {
		t.Errorf("a connection takes %d bytes", signalr.ConnSize)
	}
}

// A question gives its call's place and the reading away, again and again; no
// answer and no connection is lost on the way.
func TestQuestionsInTurn(t *testing.T) {
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	p := s.connect("json")
	for i := range 3000 {
		p.call("a", "Ask", `"q"`)
		id := member(p.record(), "invocationId")
		p.records(`{"type":3,"invocationId":"` + id + `","result":"r"}␞{"type":1,"invocationId":"b","target":"Echo","arguments":["e"]}␞`)
		got := []string{p.record(), p.record()}
		slices.Sort(got)
		if want := `[{"type":3,"invocationId":"a","result":"r"} {"type":3,"invocationId":"b","result":"e"}]`; fmt.Sprint(got) != want {
			t.Fatalf("round %d: %s", i, got)
		}
	}
	p.records(`{"type":7}␞`)
	p.want(closedPlain)
	p.wantClose(1000)
	hub.wantGone(t, "")
}
