package hubtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
)

// A WireClient is a client of the wire that TestWire tests.
type WireClient interface {
	hubwire.Caller
	// Close leaves in order.
	Close() error
	// Drop cuts the transport.
	Drop()
	// Done is closed when the connection has ended, for whatever reason.
	Done() <-chan struct{}
}

// A DialFunc connects a client. Its error is the hub's refusal.
type DialFunc func(t testing.TB, handlers ...hubwire.ClientHandler) (WireClient, error)

// A Wire is what TestWire has to know of a wire.
type Wire struct {
	// Serve serves hub until t ends, and returns how clients connect to it.
	Serve func(t testing.TB, hub *hubwire.Hub) DialFunc
	// NoUploads says that clients cannot stream, NoAnswers that they cannot be
	// asked.
	NoUploads, NoAnswers bool
	// MaxMessage is the largest argument of a call, in bytes, that passes.
	// Defaults to 16 KiB.
	MaxMessage int
}

// TestWire runs the tests that every wire must pass: calls of all kinds, order,
// cancellation, streams, panics, sizes and ends.
func TestWire(t *testing.T, w Wire) {
	if w.MaxMessage == 0 {
		w.MaxMessage = 16 << 10
	}
	for _, test := range []struct {
		name string
		run  func(*wireTest)
	}{
		{"Calls", (*wireTest).calls},
		{"Errors", (*wireTest).errors},
		{"Panics", (*wireTest).panics},
		{"Sizes", (*wireTest).sizes},
		{"Values", (*wireTest).values},
		{"Order", (*wireTest).order},
		{"Concurrent", (*wireTest).concurrent},
		{"Streams", (*wireTest).streams},
		{"Cancel", (*wireTest).cancel},
		{"Uploads", (*wireTest).uploads},
		{"Questions", (*wireTest).questions},
		{"Connect", (*wireTest).connect},
		{"Ends", (*wireTest).ends},
		{"Shutdown", (*wireTest).shutdown},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(newWireTest(t, w)) })
	}
}

const (
	wireEcho   hubwire.Method[string, string]       = "Echo"
	wireMany   hubwire.Method[int, int]             = "Many"
	wireFail   hubwire.Command[string]              = "Fail"
	wireWait   hubwire.Command[hubwire.None]        = "Wait"
	wireCount  hubwire.ServerStream[wireSpan, int]  = "Count"
	wireSum    hubwire.ClientStream[int, int]       = "Sum"
	wireMirror hubwire.BidiStream[int, int]         = "Mirror"
	wireAsk    hubwire.Method[string, string]       = "Ask"
	wireAbort  hubwire.Command[hubwire.None]        = "Abort"
	wireValue  hubwire.Method[wireAll, wireAll]     = "Value"
	wireEvent  hubwire.Event[wireNote]              = "Event"
	wireAnswer hubwire.ClientMethod[string, string] = "Answer"
)

type wireSpan struct {
	hubwire.Args
	N   int
	End hubwire.Opt[string] // an error at the end
}

type wireNote struct {
	hubwire.Args
	N    int
	Text string
}

type wireAll struct {
	S    string
	I    int64
	F    float64
	B    bool
	L    []string
	M    map[string]int
	P    *int
	Data []byte
}

// A wireTest is one test of a wire, with a hub of its own.
type wireTest struct {
	*testing.T
	w      Wire
	hub    *hubwire.Hub
	dial   DialFunc
	waits  chan context.Context // of calls of Wait, once they run
	left   chan error           // how Wait and Count ended
	gone   chan error           // causes of Disconnect
	refuse func(*hubwire.Conn) error
}

func newWireTest(t *testing.T, w Wire) *wireTest {
	x := &wireTest{T: t, w: w, waits: make(chan context.Context, 10), left: make(chan error, 10), gone: make(chan error, 10)}
	x.hub = hubwire.New(&hubwire.Options{
		Logger: slog.New(slog.DiscardHandler),
		Connect: func(_ context.Context, c *hubwire.Conn) error {
			if x.refuse != nil {
				return x.refuse(c)
			}
			return nil
		},
		Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { x.gone <- cause },
	})
	x.hub.Handle(
		wireEcho.With(func(_ context.Context, _ *hubwire.Conn, s string) (string, error) { return s, nil }),
		wireValue.With(func(_ context.Context, _ *hubwire.Conn, v wireAll) (wireAll, error) { return v, nil }),
		wireMany.With(func(ctx context.Context, c *hubwire.Conn, n int) (int, error) {
			for i := range n {
				to := hubwire.Target(c)
				if i%2 == 1 {
					to = c.Hub().All()
				}
				if err := wireEvent.Send(ctx, to, wireNote{N: i, Text: strings.Repeat("x", i%500)}); err != nil {
					return 0, err
				}
			}
			return n, nil
		}),
		wireFail.With(func(_ context.Context, _ *hubwire.Conn, how string) error {
			switch how {
			case "error":
				return errors.New("secret")
			case "panic":
				panic("secret")
			}
			return hubwire.Errorf(hubwire.CodeNotFound, "there is no %s", how)
		}),
		wireWait.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
			x.waits <- ctx
			<-ctx.Done()
			x.left <- ctx.Err()
			return ctx.Err()
		}),
		wireCount.With(func(ctx context.Context, _ *hubwire.Conn, in wireSpan) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 0; i != in.N; i++ {
					if !yield(i, nil) {
						x.left <- ctx.Err()
						return
					}
				}
				if in.End.Set {
					yield(0, hubwire.Errorf(hubwire.CodeAborted, "%s", in.End.Value))
				}
			}
		}),
		wireSum.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (sum int, err error) {
			for v, err := range items {
				if err != nil {
					return 0, hubwire.Errorf(hubwire.CodeAborted, "the upload failed")
				}
				if sum += v; sum < 0 {
					break
				}
			}
			return sum, nil
		}),
		wireMirror.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for v, err := range items {
					if !yield(2*v, err) {
						return
					}
				}
			}
		}),
		wireAsk.With(func(ctx context.Context, c *hubwire.Conn, q string) (string, error) {
			return wireAnswer.Call(ctx, c, q)
		}),
		wireAbort.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) error { c.Abort(); return nil }),
	)
	x.dial = w.Serve(t, x.hub)
	return x
}

// client connects.
func (x *wireTest) client(handlers ...hubwire.ClientHandler) WireClient {
	x.Helper()
	c, err := x.dial(x.T, handlers...)
	if err != nil {
		x.Fatalf("dial: %v", err)
	}
	x.Cleanup(func() { _ = c.Close() })
	return c
}

// alive checks that the connection still answers.
func (x *wireTest) alive(c WireClient) {
	x.Helper()
	if got, err := wireEcho.Call(x.Context(), c, "alive"); got != "alive" || err != nil {
		x.Fatalf("the connection does not answer: %q, %v", got, err)
	}
}

func within[T any](x *wireTest, ch <-chan T, what string) (v T) {
	x.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-ch:
	case <-timer.C:
		x.Fatalf("%s: it does not happen", what)
	}
	return v
}

func public(err error) *hubwire.Error {
	e, _ := errors.AsType[*hubwire.Error](err)
	return e
}

func (x *wireTest) calls() {
	c := x.client()
	for range 3 {
		x.alive(c)
	}
	if err := wireFail.Send(x.Context(), c, "error"); err != nil {
		x.Errorf("Send waits for the outcome: %v", err)
	}
	x.alive(c)
	x.alive(x.client())
}

// What the handler says is shown where it is an *Error, and nothing else.
func (x *wireTest) errors() {
	c := x.client()
	if e := public(wireFail.Call(x.Context(), c, "cake")); e == nil || e.Message != "there is no cake" {
		x.Errorf("an *Error: %v", e)
	}
	for _, how := range []string{"error", "panic"} {
		err := wireFail.Call(x.Context(), c, how)
		if public(err) == nil || strings.Contains(err.Error(), "secret") {
			x.Errorf("%s: %v", how, err)
		}
	}
	for name, err := range map[string]error{
		"no such method": hubwire.Command[string]("Nope").Call(x.Context(), c, ""),
		"wrong type":     hubwire.Command[int]("Echo").Call(x.Context(), c, 1),
		"too many":       hubwire.Command[hubwire.List]("Echo").Call(x.Context(), c, hubwire.List{"a", "b"}),
		"too few":        hubwire.Command[hubwire.None]("Echo").Call(x.Context(), c, hubwire.None{}),
	} {
		if public(err) == nil {
			x.Errorf("%s: %v", name, err)
		}
	}
	for _, err := range hubwire.ServerStream[string, string]("Echo").Open(x.Context(), c, "x") {
		if err == nil {
			x.Error("a method was opened as a stream")
		}
	}
	x.alive(c)
}

func (x *wireTest) panics() {
	c, other := x.client(), x.client()
	for range 3 {
		if err := wireFail.Call(x.Context(), c, "panic"); err == nil {
			x.Error("no error")
		}
	}
	x.alive(c)
	x.alive(other)
}

// Arguments and results of all lengths pass, at the edges of frames above all.
func (x *wireTest) sizes() {
	c := x.client()
	for _, n := range []int{0, 1, 2, 100, 110, 120, 124, 125, 126, 127, 128, 129, 255, 256, 1000, 4000, 8192, 16383, 16384, 65400, 65535, 65536, 65537, 1 << 20} {
		if n > x.w.MaxMessage {
			break
		}
		s := strings.Repeat("a", n)
		if got, err := wireEcho.Call(x.Context(), c, s); got != s || err != nil {
			x.Fatalf("%d bytes: %d came back, %v", n, len(got), err)
		}
	}
	for n := range 140 {
		s := strings.Repeat("ä", n)
		if got, err := wireEcho.Call(x.Context(), c, s); got != s || err != nil {
			x.Fatalf("%d times ä: %q, %v", n, got, err)
		}
	}
}

func (x *wireTest) values() {
	c := x.client()
	seven := 7
	for _, v := range []wireAll{
		{},
		{S: "\x00 \x1e \n \" \\ / <&> ü 😀 \u2028 \u007f", I: -1 << 53, F: 1.5e300, B: true, L: []string{"", "a"}, M: map[string]int{"": 1, "k": -1}, P: &seven, Data: []byte{0, 255}},
		{I: 1<<53 - 1, F: -0.1, L: []string{}, M: map[string]int{}},
	} {
		got, err := wireValue.Call(x.Context(), c, v)
		if err != nil || got.S != v.S || got.I != v.I || got.F != v.F || got.B != v.B || !slices.Equal(got.L, v.L) ||
			fmt.Sprint(got.M) != fmt.Sprint(v.M) || (got.P == nil) != (v.P == nil) || string(got.Data) != string(v.Data) {
			x.Errorf("got %+v, %v; want %+v", got, err, v)
		}
	}
}

// Events arrive in the order in which they were sent, whatever they were sent
// to, and all of them.
func (x *wireTest) order() {
	const n = 3000
	notes := make(chan wireNote, n)
	c := x.client(wireEvent.With(func(_ context.Context, v wireNote) error { notes <- v; return nil }))
	if got, err := wireMany.Call(x.Context(), c, n); got != n || err != nil {
		x.Fatalf("Many = %v, %v", got, err)
	}
	for i := range n {
		if v := within(x, notes, "an event"); v.N != i || len(v.Text) != i%500 {
			x.Fatalf("event %d: %d with %d bytes", i, v.N, len(v.Text))
		}
	}
}

func (x *wireTest) concurrent() {
	var cs []WireClient
	for range 4 {
		cs = append(cs, x.client())
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for k := range 50 {
				want := fmt.Sprint(i, " ", k)
				if got, err := wireEcho.Call(x.Context(), cs[i%len(cs)], want); got != want || err != nil {
					x.Errorf("got %q, %v; want %q", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

// A stream has all its items, in order, and its error last.
func (x *wireTest) streams() {
	c := x.client()
	for _, n := range []int{0, 1, 2, 1000} {
		for _, end := range []hubwire.Opt[string]{{}, hubwire.Some("no more")} {
			next := 0
			var last error
			for v, err := range wireCount.Open(x.Context(), c, wireSpan{N: n, End: end}) {
				if last = err; err == nil && v != next {
					x.Fatalf("item %d, want %d", v, next)
				} else if err == nil {
					next++
				}
			}
			if next != n {
				x.Errorf("%d items, want %d", next, n)
			}
			if e := public(last); (e != nil) != end.Set || e != nil && !strings.Contains(e.Message, "no more") {
				x.Errorf("%d items: error %v, want %v", n, last, end)
			}
		}
	}
	// Two at a time do not mix.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			next := 0
			for v, err := range wireCount.Open(x.Context(), c, wireSpan{N: 500}) {
				if err != nil || v != next {
					x.Errorf("item %d, %v; want %d", v, err, next)
					return
				}
				next++
			}
		})
	}
	wg.Wait()
	x.alive(c)
}

// Leaving a stream, and ending the context of a call that is one, reach the hub,
// also while an ordinary call runs.
func (x *wireTest) cancel() {
	c := x.client()
	for v, err := range wireCount.Open(x.Context(), c, wireSpan{N: -1}) {
		if err != nil {
			x.Fatal(err)
		}
		if v == 100 {
			break
		}
	}
	if err := within(x, x.left, "the stream's end"); err == nil {
		x.Error("the stream's context has not ended")
	}
	ctx, cancel := context.WithCancel(x.Context())
	begun, done := make(chan int, 1), make(chan error, 1)
	go func() { // ends with ctx
		for v, err := range wireCount.Open(ctx, c, wireSpan{N: -1}) {
			if err != nil {
				done <- err
				return
			}
			if v == 0 {
				begun <- v
			}
		}
		done <- nil
	}()
	within(x, begun, "a stream")
	within(x, firstOf(x, c), "another stream beside it")
	cancel()
	if err := within(x, done, "the end of the stream"); !errors.Is(err, context.Canceled) {
		x.Errorf("the stream ended with %v", err)
	}
	within(x, x.left, "the stream's end")
	x.alive(c)
}

// firstOf opens a stream, takes one item and leaves.
func firstOf(x *wireTest, c WireClient) <-chan int {
	first := make(chan int, 1)
	for v, err := range wireCount.Open(x.Context(), c, wireSpan{N: 2}) {
		if err == nil {
			first <- v
		}
		break
	}
	select {
	case <-x.left: // it was still there when we left
	default:
	}
	return first
}

func (x *wireTest) uploads() {
	if x.w.NoUploads {
		x.Skip("the wire has no uploads")
	}
	c := x.client()
	count := func(n int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; i != n && yield(i, nil); i++ {
			}
		}
	}
	for _, n := range []int{0, 1, 2000} {
		if got, err := wireSum.Call(x.Context(), c, count(n)); got != n*(n-1)/2 || err != nil {
			x.Errorf("Sum of %d = %v, %v", n, got, err)
		}
	}
	failing := func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, errors.New("no more")) }
	if _, err := wireSum.Call(x.Context(), c, failing); err == nil || !strings.Contains(err.Error(), "the upload failed") {
		x.Errorf("an upload that fails: %v", err)
	}
	// The hub may stop reading before the end.
	if got, err := wireSum.Call(x.Context(), c, func(yield func(int, error) bool) {
		for yield(-1, nil) {
		}
	}); got != -1 || err != nil {
		x.Errorf("an upload without end: %v, %v", got, err)
	}
	next := 0
	for v, err := range wireMirror.Open(x.Context(), c, count(500)) {
		if err != nil || v != 2*next {
			x.Fatalf("Mirror: %v, %v; want %d", v, err, 2*next)
		}
		next++
	}
	if next != 500 {
		x.Errorf("Mirror: %d items", next)
	}
	x.alive(c)
}

func (x *wireTest) questions() {
	if x.w.NoAnswers {
		x.Skip("the wire has no answers")
	}
	c := x.client(wireAnswer.With(func(_ context.Context, q string) (string, error) {
		if q == "fail" {
			return "", errors.New("I will not say")
		}
		return q + "!", nil
	}))
	for range 3 {
		if got, err := wireAsk.Call(x.Context(), c, "well"); got != "well!" || err != nil {
			x.Errorf("Ask = %q, %v", got, err)
		}
	}
	if _, err := wireAsk.Call(x.Context(), c, "fail"); err == nil || !strings.Contains(err.Error(), "I will not say") {
		x.Errorf("an answer that is an error: %v", err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			q := fmt.Sprint(i)
			if got, err := wireAsk.Call(x.Context(), c, q); got != q+"!" || err != nil {
				x.Errorf("Ask = %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if _, err := wireAsk.Call(x.Context(), x.client(), "well"); err == nil {
		x.Error("a client without a handler answered")
	}
	x.alive(c)
}

// Connect can send, and refuse; a refusal is the end of the connection.
func (x *wireTest) connect() {
	notes := make(chan wireNote, 1)
	x.refuse = func(c *hubwire.Conn) error { return wireEvent.Send(context.Background(), c, wireNote{Text: "welcome"}) }
	c := x.client(wireEvent.With(func(_ context.Context, v wireNote) error { notes <- v; return nil }))
	if v := within(x, notes, "an event of Connect"); v.Text != "welcome" {
		x.Errorf("got %v", v)
	}
	x.alive(c)
	x.refuse = func(*hubwire.Conn) error { return hubwire.ErrUnauthorized }
	refused, err := x.dial(x.T)
	if err == nil { // a wire may learn of it only when it is connected
		within(x, refused.Done(), "the end of a connection that was refused")
		_ = refused.Close()
	}
	n := 0
	for range x.hub.Connections() {
		n++
	}
	if n != 1 {
		x.Errorf("%d connections", n)
	}
}

// However a connection ends, its calls are cancelled and Disconnect runs, once.
func (x *wireTest) ends() {
	for name, end := range map[string]func(WireClient){
		"close": func(c WireClient) { _ = c.Close() },
		"drop":  WireClient.Drop,
		"abort": func(c WireClient) {
			for conn := range x.hub.Connections() {
				conn.Abort()
			}
		},
	} {
		c := x.client()
		if err := wireWait.Send(x.Context(), c, hubwire.None{}); err != nil {
			x.Fatal(err)
		}
		ctx := within(x, x.waits, "the call")
		end(c)
		within(x, c.Done(), name+": the end of the connection")
		within(x, ctx.Done(), name+": the end of the call's context")
		within(x, x.left, name+": the end of the call")
		if cause := within(x, x.gone, name+": Disconnect"); cause != nil {
			x.Errorf("%s: the cause is %v", name, cause)
		}
		if _, err := wireEcho.Call(x.Context(), c, "x"); err == nil {
			x.Errorf("%s: the connection answers", name)
		}
	}
	c := x.client()
	_ = wireAbort.Call(x.Context(), c, hubwire.None{}) // whether its result arrives is open
	within(x, c.Done(), "the end of the connection")
	within(x, x.gone, "Disconnect")
	select {
	case <-x.gone:
		x.Error("Disconnect ran once too often")
	default:
	}
}

// Shutdown lets running calls finish and ends all connections.
func (x *wireTest) shutdown() {
	a, b := x.client(), x.client()
	x.alive(a)
	x.alive(b)
	ctx, cancel := context.WithTimeout(x.Context(), patience)
	defer cancel()
	if err := x.hub.Shutdown(ctx); err != nil {
		x.Errorf("Shutdown: %v", err)
	}
	for _, c := range []WireClient{a, b} {
		within(x, c.Done(), "the end of the connection")
		within(x, x.gone, "Disconnect")
	}
	if c, err := x.dial(x.T); err == nil {
		within(x, c.Done(), "the end of a connection that came too late")
		_ = c.Close()
	}
}
