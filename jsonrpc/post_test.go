package jsonrpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

type hubAddArgs struct {
	hubwire.Args
	A int `json:"a"`
	B int `json:"b"`
}

// A diary notes what happens.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) add(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := strings.Join(d.lines, ", ")
	d.lines = nil
	return s
}

const (
	hubAdd     hubwire.Method[hubAddArgs, int]      = "Add"
	hubEcho    hubwire.Method[any, any]             = "Echo"
	hubNote    hubwire.Command[string]              = "Note"
	hubFail    hubwire.Method[int64, string]        = "Fail"
	hubWait    hubwire.Method[hubwire.None, string] = "Wait"
	hubWhoAmI  hubwire.Method[hubwire.None, string] = "WhoAmI"
	hubNumbers hubwire.ServerStream[int, int]       = "Numbers"
	hubSum     hubwire.ClientStream[int, int]       = "Sum"
	hubAsk     hubwire.Method[string, string]       = "Ask"
	hubJoins   hubwire.Command[string]              = "Joins"
	hubTold    hubwire.Event[string]                = "Told"
	hubAnswer  hubwire.ClientMethod[string, string] = "Answer"
	hubTell    hubwire.Command[hubTellArgs]         = "Tell"
)

type hubTellArgs struct {
	hubwire.Args
	Group, Text string
}

// mountHub is the hub of these tests.
func mountHub(d *diary, opts *hubwire.Options) *hubwire.Hub {
	var o hubwire.Options
	if opts != nil {
		o = *opts
	}
	o.Logger = slog.New(slog.DiscardHandler)
	hub := hubwire.New(&o)
	hub.Handle(
		hubAdd.With(func(_ context.Context, _ *hubwire.Conn, p hubAddArgs) (int, error) { return p.A + p.B, nil }),
		hubEcho.With(func(_ context.Context, _ *hubwire.Conn, v any) (any, error) { return v, nil }),
		hubNote.With(func(_ context.Context, _ *hubwire.Conn, s string) error { d.add("note %s", s); return nil }),
		hubFail.With(func(_ context.Context, _ *hubwire.Conn, code int64) (string, error) {
			if code == 0 {
				return "", errors.New("secret")
			}
			return "", &jsonrpc.Error{Code: code, Message: "failed", Data: map[string]int{"x": 1}}
		}),
		hubWait.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
			d.add("wait")
			<-ctx.Done()
			d.add("waited")
			return "", ctx.Err()
		}),
		hubWhoAmI.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
			r := c.Request()
			return fmt.Sprintf("%s %s %s %s", c.User().ID, r.Wire, r.Transport, r.Header.Get("X-Kept")), nil
		}),
		hubNumbers.With(func(_ context.Context, _ *hubwire.Conn, n int) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := 1; i <= n; i++ {
					if !yield(i, nil) {
						return
					}
				}
				if n < 0 {
					yield(0, &jsonrpc.Error{Code: 7, Message: "no numbers"})
				}
			}
		}),
		hubSum.With(func(_ context.Context, _ *hubwire.Conn, items iter.Seq2[int, error]) (int, error) {
			n := 0
			for v, err := range items {
				if err != nil {
					return 0, err
				}
				n += v
			}
			return n, nil
		}),
		hubAsk.With(func(ctx context.Context, c *hubwire.Conn, q string) (string, error) { return hubAnswer.Call(ctx, c, q) }),
		hubJoins.With(func(ctx context.Context, c *hubwire.Conn, g string) error { return c.Join(ctx, g) }),
		hubTell.With(func(ctx context.Context, c *hubwire.Conn, t hubTellArgs) error {
			return hubTold.Send(ctx, c.Hub().Group(t.Group), t.Text)
		}),
	)
	return hub
}

// post posts a body to a handler.
func postTo(t testing.TB, h http.Handler, body string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("POST", "http://hub.test/jsonrpc", strings.NewReader(body)).WithContext(t.Context())
	r.Header.Set("Content-Type", "application/json")
	for _, line := range header {
		k, v, _ := strings.Cut(line, ": ")
		if k == "Host" {
			r.Host = v
		}
		if r.Header.Set(k, v); v == "" {
			r.Header.Del(k)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t testing.TB, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What a POST is answered with.
func TestPost(t *testing.T) {
	const e = `{"jsonrpc":"2.0","id":`
	deep := strings.Repeat("[", 999) + strings.Repeat("]", 999)
	for _, r := range []struct {
		body   string
		status int
		want   string
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`, 200, e + `1,"result":3}`},
		{"\ufeff" + `{"jsonrpc":"2.0","id":"a\u0062","method":"Add","params":{"b":1,"a":2}}` + "\r\n", 200, e + `"a\u0062","result":3}`},
		{`{"jsonrpc":"2.0","id":null,"method":"Add","params":[1,2]}`, 200, e + `null,"result":3}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Echo","params":[` + deep + `]}`, 200, e + `1,"result":` + deep + `}`},
		{`{"jsonrpc":"2.0","method":"Note","params":["x"]}`, 204, ""},
		{`{"jsonrpc":"2.0","method":"Nope"}`, 204, ""},
		{`{"jsonrpc":"2.0","method":"Fail","params":[1]}`, 204, ""},
		{`{"jsonrpc":"2.0","id":1,"method":"Nope"}`, 200, e + `1,"error":{"code":-32601,"message":"No method by the name 'Nope' is found."}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Add","params":[1]}`, 200, e + `1,"error":{"code":-32602,`},
		{`{"jsonrpc":"2.0","id":1,"method":"Fail","params":[5000000000]}`, 200, e + `1,"error":{"code":5000000000,"message":"failed","data":{"x":1}}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Fail","params":[0]}`, 200, e + `1,"error":{"code":-32000,"message":"The method failed."}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Numbers","params":[3]}`, 200, e + `1,"result":{"values":[1,2,3]}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Numbers","params":[0]}`, 200, e + `1,"result":{"values":[]}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Numbers","params":[-1]}`, 200, e + `1,"error":{"code":7,"message":"no numbers"}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Numbers","params":["x"]}`, 200, e + `1,"error":{"code":-32602,`},
		{`{"jsonrpc":"2.0","id":1,"method":"Sum","params":[{"values":[1,2,3]}]}`, 200, e + `1,"result":6}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Sum","params":[{"token":1,"values":[1]}]}`, 200, e + `1,"error":{"code":`},
		{`{"jsonrpc":"2.0","id":1,"method":"Ask","params":["?"]}`, 200, e + `1,"error":{"code":-32601,"message":"hubwire: a call without a connection cannot be asked"}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"Joins","params":["g"]}`, 200, e + `1,"error":{"code":-32601,"message":"hubwire: a call without a connection cannot join a group"}}`},
		{`{"jsonrpc":"2.0","id":1,"method":"$/enumerator/next","params":[1]}`, 200, e + `1,"error":{"code":-32001,`},
		{`{"jsonrpc":"2.0","id":1,"result":1}`, 204, ""},
		{`{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":""}}`, 204, ""},
		{``, 200, e + `null,"error":{"code":-32700,`},
		{`{`, 200, e + `null,"error":{"code":-32700,`},
		{`42`, 200, e + `null,"error":{"code":-32600,`},
		{`[]`, 200, e + `null,"error":{"code":-32600,`},
		{`[1,`, 200, e + `null,"error":{"code":-32700,`},
		{`[1]`, 200, `[` + e + `null,"error":{"code":-32600,"message":"Invalid request: a message is an object."}}]`},
		{`[{"jsonrpc":"2.0","method":"Note","params":["y"]}]`, 204, ""},
		{`[{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]},{"jsonrpc":"2.0","method":"Note","params":["z"]},{"jsonrpc":"2.0","id":2,"method":"Add","params":[3,4]}]`, 200,
			`[` + e + `1,"result":3},` + e + `2,"result":7}]`},
		{`[{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]},{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]},{"jsonrpc":"2.0","id":1}]`, 200, `[` + e + `1,`},
	} {
		var d diary
		h := jsonrpc.Handler(mountHub(&d, nil), &jsonrpc.MountOptions{Conn: &jsonrpc.Options{CloseOnBad: true}})
		res := postTo(t, h, r.body)
		got := bodyOf(t, res)
		if res.StatusCode != r.status || !strings.HasPrefix(got, r.want) || r.want == "" && got != "" {
			t.Errorf("%.100s: %d %.200s; want %d %.200s", r.body, res.StatusCode, got, r.status, r.want)
		}
		if r.status == 200 && (res.Header.Get("Content-Type") != "application/json" || !json.Valid([]byte(got))) {
			t.Errorf("%.100s: %v %.200s", r.body, res.Header, got)
		}
		if strings.Contains(r.body, "Note") && !strings.HasPrefix(d.take(), "note ") {
			t.Errorf("%s: the notification had not ended", r.body)
		}
	}
}

// What is refused before it is read, and so that no page of another site can call.
func TestPostRefused(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`
	h := jsonrpc.Handler(mountHub(&diary{}, nil), &jsonrpc.MountOptions{
		Conn:           &jsonrpc.Options{MaxMessage: 100},
		AllowedOrigins: []string{"https://app.test"},
		AllowedHosts:   []string{"hub.test"},
	})
	for _, r := range []struct {
		body   string
		header []string
		status int
	}{
		{call, nil, 200},
		{call, []string{"Content-Type: application/json; charset=UTF-8"}, 200},
		{call, []string{"Content-Type: application/json-rpc"}, 200},
		{call, []string{"Content-Type: application/jsonrequest"}, 200},
		{call, []string{"Content-Type: "}, 415},
		{call, []string{"Content-Type: text/plain"}, 415},
		{call, []string{"Content-Type: application/x-www-form-urlencoded"}, 415},
		{call, []string{"Content-Type: multipart/form-data; boundary=x"}, 415},
		{call, []string{"Content-Type: application/json; charset=utf-16"}, 415},
		{call, []string{"Content-Type: application/json, text/plain"}, 415},
		{call, []string{"Content-Encoding: gzip"}, 415},
		{call, []string{"Origin: http://hub.test"}, 200},
		{call, []string{"Origin: https://app.test"}, 200},
		{call, []string{"Origin: https://evil.test"}, 403},
		{call, []string{"Origin: null"}, 403},
		{call, []string{"Sec-Fetch-Site: cross-site"}, 403},
		{call, []string{"Host: evil.test"}, 403},
		{call + strings.Repeat(" ", 100-len(call)), nil, 200},
		{call + strings.Repeat(" ", 101-len(call)), nil, 413},
	} {
		if res := postTo(t, h, r.body, r.header...); res.StatusCode != r.status {
			t.Errorf("%q %d bytes: %d, want %d", r.header, len(r.body), res.StatusCode, r.status)
		} else if got := bodyOf(t, res); r.status != 200 && (!strings.Contains(got, `"id":null,"error":{`) || !json.Valid([]byte(got))) {
			t.Errorf("%q: %s", r.header, got)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "http://hub.test/jsonrpc", nil))
		if w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
	// A preflight of an allowed page, which may then read the answers.
	r := httptest.NewRequest("OPTIONS", "http://hub.test/jsonrpc", nil)
	r.Header.Set("Origin", "https://app.test")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "content-type")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.test" || w.Header().Get("Access-Control-Allow-Headers") != "content-type" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
}

func TestPostStatus(t *testing.T) {
	for policy, want := range map[jsonrpc.StatusPolicy]string{
		jsonrpc.StatusOK:    "200 200 200 200 200 204 200",
		jsonrpc.StatusDraft: "200 400 404 500 500 204 200",
		jsonrpc.StatusMCP:   "200 400 404 400 200 202 200",
	} {
		h := jsonrpc.Handler(mountHub(&diary{}, nil), &jsonrpc.MountOptions{Status: policy})
		var got []string
		for _, body := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`,
			`{"id":1,"method":"Add","params":[1,2]}`,
			`{"jsonrpc":"2.0","id":1,"method":"Nope"}`,
			`x`,
			`{"jsonrpc":"2.0","id":1,"method":"Fail","params":[0]}`,
			`{"jsonrpc":"2.0","method":"Note","params":["x"]}`,
			`[{"jsonrpc":"2.0","id":1,"method":"Nope"}]`,
		} {
			got = append(got, fmt.Sprint(postTo(t, h, body).StatusCode))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%d: %s, want %s", policy, s, want)
		}
	}
}

// A POST's calls have a connection of their own (D 9): the user of the request,
// Connect and Disconnect, and the end of the request.
func TestPostConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var refuse error
		hub := mountHub(&d, &hubwire.Options{
			Connect: func(_ context.Context, c *hubwire.Conn) error {
				d.add("connect %s", c.User().ID)
				return refuse
			},
			Disconnect: func(_ context.Context, _ *hubwire.Conn, cause error) { d.add("disconnect %v", cause) },
		})
		h := jsonrpc.Handler(hub, &jsonrpc.MountOptions{KeepHeaders: []string{"X-Kept"}, Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "ann"})))
			})
		}})
		if got := bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"WhoAmI"}`, "X-Kept: yes")); !strings.Contains(got, `"ann jsonrpc POST yes"`) {
			t.Error(got)
		}
		if got, want := d.take(), "connect ann, disconnect <nil>"; got != want {
			t.Errorf("%s; want %s", got, want)
		}

		// Whoever leaves takes the call along.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan int)
		go func() { // ends with ctx
			r := httptest.NewRequest("POST", "http://hub.test/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"Wait"}`)).WithContext(ctx)
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			gone <- w.Body.Len()
		}()
		synctest.Wait()
		cancel()
		if n := <-gone; n != 0 {
			t.Errorf("%d bytes for a client that has gone", n)
		}
		if got, want := d.take(), "connect ann, wait, waited, disconnect <nil>"; got != want {
			t.Errorf("%s; want %s", got, want)
		}

		for err, status := range map[error]int{hubwire.ErrUnauthorized: 403, errors.New("x"): 403, hubwire.ErrFull: 503} {
			refuse = err
			if got := postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`); got.StatusCode != status {
				t.Errorf("%v: %d", err, got.StatusCode)
			}
		}
		refuse = nil
		d.take()

		// Shutdown waits for calls, as long as its context lets it.
		go func() { gone <- postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Wait"}`).StatusCode }() // ends with the hub
		synctest.Wait()
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := hub.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if status := <-gone; status != 503 && status != 200 {
			t.Errorf("a call that Shutdown has ended: %d", status)
		}
		if got := postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Add","params":[1,2]}`); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
			t.Errorf("after Shutdown: %d %v", got.StatusCode, got.Header)
		}
	})
}

// A batch has bounds: in messages, and in the bytes of its answer.
func TestBatchBounds(t *testing.T) {
	h := jsonrpc.Handler(mountHub(&diary{}, nil), &jsonrpc.MountOptions{Conn: &jsonrpc.Options{MaxBatch: 3, MaxBatchReply: 200}})
	call := func(id int, n int) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"Echo","params":["%s"]}`, id, strings.Repeat("x", n))
	}
	got := bodyOf(t, postTo(t, h, "["+strings.Join([]string{call(1, 100), call(2, 100), call(3, 10)}, ",")+"]"))
	if !strings.Contains(got, `"id":1,"result":"xxx`) || !strings.Contains(got, `"id":2,"error":{"code":-32003,"message":"The answer to the batch is too large."}`) ||
		!strings.Contains(got, `"id":3,`) || !json.Valid([]byte(got)) {
		t.Error(got)
	}
	if got := bodyOf(t, postTo(t, h, "["+strings.Join([]string{call(1, 1), call(2, 1), call(3, 1), call(4, 1)}, ",")+"]")); !strings.HasPrefix(got, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600`) {
		t.Error(got)
	}
	// A single answer is none of a batch, a stream is bounded likewise.
	if got := bodyOf(t, postTo(t, h, call(1, 1000))); !strings.Contains(got, `"result":"xxx`) {
		t.Error(got)
	}
	if got := bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"Numbers","params":[1000]}`)); !strings.Contains(got, `"error":{"code":-32003`) {
		t.Error(got)
	}
}

func TestMountOptions(t *testing.T) {
	hub := mountHub(&diary{}, nil)
	for want, o := range map[string]*jsonrpc.MountOptions{
		"MaxConnections is -1":        {MaxConnections: -1},
		"Status is 9":                 {Status: 9},
		"AllowedOrigins has \"x\"":    {AllowedOrigins: []string{"x"}},
		"Subprotocols has \"a b\"":    {Subprotocols: []string{"a b"}},
		"MaxMessage is -1":            {Conn: &jsonrpc.Options{MaxMessage: -1}},
		"Handlers are for a connecti": {Conn: &jsonrpc.Options{Handlers: []hubwire.ClientHandler{hubTold.With(func(context.Context, string) error { return nil })}}},
	} {
		func() {
			defer func() {
				if v := fmt.Sprint(recover()); !strings.Contains(v, want) {
					t.Errorf("%s; want %s", v, want)
				}
			}()
			jsonrpc.Handler(hub, o)
		}()
	}
}
