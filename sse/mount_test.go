package sse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/sse"
)

// The hub of the tests.
type (
	pairArgs struct {
		hubwire.Args
		A string
		B int
	}
	uploadArgs struct {
		hubwire.Args
		A string
		S hubwire.Stream[int]
	}
)

const (
	echo    hubwire.Method[string, string]          = "Echo"
	pair    hubwire.Method[pairArgs, string]        = "Pair"
	whoAmI  hubwire.Method[hubwire.None, string]    = "WhoAmI"
	nothing hubwire.Command[hubwire.None]           = "Nothing"
	null    hubwire.Method[hubwire.None, *string]   = "Null"
	fails   hubwire.Method[string, string]          = "Fails"
	nan     hubwire.Method[hubwire.None, any]       = "NaN"
	wait    hubwire.Command[hubwire.None]           = "Wait"
	tell    hubwire.Command[string]                 = "Tell"
	others  hubwire.Command[string]                 = "Others"
	joins   hubwire.Command[string]                 = "Joins"
	asks    hubwire.Method[hubwire.None, string]    = "Asks"
	abort   hubwire.Command[hubwire.None]           = "Abort"
	upload  hubwire.Method[uploadArgs, int]         = "Upload"
	sum     hubwire.ClientStream[int, int]          = "Sum"
	mirror  hubwire.BidiStream[int, int]            = "Mirror"
	count   hubwire.ServerStream[pairArgs, string]  = "Count"
	forever hubwire.ServerStream[hubwire.None, int] = "Forever"
	nans    hubwire.ServerStream[hubwire.None, any] = "NaNs"
	said    hubwire.Event[string]                   = "Said"
	many    hubwire.Event[hubwire.List]             = "Many"
	replies hubwire.ClientMethod[string, string]    = "Answer"
	odd     hubwire.Method[string, string]          = "a/b c?%"
)

// A NotFound is an ordinary error with a name.
type NotFound struct{}

func (NotFound) Error() string { return "secret" }

// A site is a hub at /hub behind a server in memory.
type site struct {
	t    *testing.T
	hub  *hubwire.Hub
	srv  *http.Server
	pipe pipes

	mu    sync.Mutex // guards the following
	diary []string
}

// pipes is a hubListener in memory.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	theirs, ours := net.Pipe()
	select {
	case p.conns <- ours:
		return theirs, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func newSite(t *testing.T, hubOpts *hubwire.Options, opts *sse.MountOptions) *site {
	s := &site{t: t, pipe: pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
	o := hubwire.Options{}
	if hubOpts != nil {
		o = *hubOpts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	connect := o.Connect
	o.Connect = func(ctx context.Context, c *hubwire.Conn) error {
		s.note("connect " + c.Request().Transport)
		if connect != nil {
			return connect(ctx, c)
		}
		return nil
	}
	o.Disconnect = func(_ context.Context, c *hubwire.Conn, cause error) { s.note(fmt.Sprint("disconnect ", cause)) }
	s.hub = hubwire.New(&o)
	s.hub.Handle(s.handlers()...)
	mux := http.NewServeMux()
	sse.Mount(mux, "/hub", s.hub, opts)
	s.srv = &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(done)
		_ = s.srv.Serve(&s.pipe)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.hub.Shutdown(ctx)
		s.srv.Close()
		<-done
		time.Sleep(time.Second) // of the bubble: net/http lingers over connections that it closes
	})
	return s
}

func (s *site) handlers() []hubwire.Handler {
	return []hubwire.Handler{
		echo.With(func(_ context.Context, _ *hubwire.Conn, v string) (string, error) { return v, nil }),
		odd.With(func(_ context.Context, _ *hubwire.Conn, v string) (string, error) { return v, nil }),
		pair.With(func(_ context.Context, _ *hubwire.Conn, v pairArgs) (string, error) { return fmt.Sprint(v.A, v.B), nil }),
		whoAmI.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) { return c.ID(), nil }),
		nothing.With(func(context.Context, *hubwire.Conn, hubwire.None) error { return nil }),
		null.With(func(context.Context, *hubwire.Conn, hubwire.None) (*string, error) { return nil, nil }),
		nan.With(func(context.Context, *hubwire.Conn, hubwire.None) (any, error) { return func() {}, nil }),
		nans.With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[any, error] {
			return func(yield func(any, error) bool) { _ = yield(1, nil) && yield(func() {}, nil) }
		}),
		fails.With(func(_ context.Context, _ *hubwire.Conn, how string) (string, error) {
			switch how {
			case "panic":
				panic("secret")
			case "goexit":
				runtime.Goexit()
			case "unauthorized":
				return "", hubwire.ErrUnauthorized
			case "data":
				return "", &hubwire.Error{Code: hubwire.CodeNotFound, Message: `no "cake"`, Data: []int{1, 2}}
			case "error":
				return "", NotFound{}
			}
			var code hubwire.Code
			fmt.Sscan(how, &code)
			return "", hubwire.Errorf(code, "%s", how)
		}).Use(func(next hubwire.Invoke) hubwire.Invoke {
			return func(ctx context.Context, c *hubwire.Call) error { return next(ctx, c) }
		}),
		wait.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) error {
			s.note("wait")
			<-ctx.Done()
			s.note(fmt.Sprint("waited ", ctx.Err()))
			return ctx.Err()
		}),
		tell.With(func(ctx context.Context, c *hubwire.Conn, v string) error { return said.Send(ctx, c, v) }),
		others.With(func(ctx context.Context, c *hubwire.Conn, v string) error { return said.Send(ctx, c.Others(), v) }),
		joins.With(func(ctx context.Context, c *hubwire.Conn, g string) error { return c.Join(ctx, g) }),
		asks.With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) (string, error) {
			return replies.Call(ctx, c, "well?")
		}),
		abort.With(func(_ context.Context, c *hubwire.Conn, _ hubwire.None) error { c.Abort(); return nil }),
		upload.With(func(context.Context, *hubwire.Conn, uploadArgs) (int, error) { return 0, nil }),
		sum.With(func(context.Context, *hubwire.Conn, iter.Seq2[int, error]) (int, error) { return 0, nil }),
		mirror.With(func(_ context.Context, _ *hubwire.Conn, in iter.Seq2[int, error]) iter.Seq2[int, error] { return in }),
		count.With(func(_ context.Context, _ *hubwire.Conn, in pairArgs) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for i := range in.B {
					if !yield(fmt.Sprint(i, "\n"), nil) {
						return
					}
				}
				if in.A != "" {
					yield("", hubwire.Errorf(hubwire.CodeAborted, "%s", in.A))
				}
			}
		}),
		forever.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				s.note("forever")
				defer func() { s.note(fmt.Sprint("over ", ctx.Err())) }()
				for i := 0; ctx.Err() == nil && yield(i, nil); i++ {
					select {
					case <-ctx.Done():
					case <-time.After(time.Minute):
					}
				}
			}
		}),
	}
}

func (s *site) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.diary = append(s.diary, line)
}

// noted is what was noted since, once all is quiet.
func (s *site) noted() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	d := strings.Join(s.diary, ", ")
	s.diary = nil
	return d
}

func (s *site) http() *http.Client {
	tr := &http.Transport{DialContext: s.pipe.dial, DisableKeepAlives: true}
	return &http.Client{Transport: tr}
}

// A reply is an answer as a whole.
type reply struct {
	status int
	header http.Header
	body   string
}

// do makes a request; header lines are "Name: value".
func (s *site) do(method, target, body string, header ...string) reply {
	s.t.Helper()
	r := s.request(method, target, body, header...)
	ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
	defer cancel()
	resp, err := s.http().Do(r.WithContext(ctx))
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, target, err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

func (s *site) request(method, target, body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://site.test"+target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		if k == "Host" {
			r.Host = v
		}
		r.Header.Add(k, v)
	}
	return r
}

const isJSON = "Content-Type: application/json"

// call invokes by POST.
func (s *site) call(name, args string, header ...string) reply {
	s.t.Helper()
	return s.do("POST", "/hub/"+url.PathEscape(name), args, append([]string{isJSON}, header...)...)
}

// A hubListener is a client's stream.
type hubListener struct {
	t      *testing.T
	id     string
	token  string
	events chan sse.Event[string] // closed at the end
	err    error                  // once that is closed
	leave  func()
	header http.Header
}

// listen opens a stream and takes what it begins with.
func (s *site) listen(target string, header ...string) *hubListener {
	s.t.Helper()
	l, err := s.tryListen(target, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

func (s *site) tryListen(target string, header ...string) (*hubListener, error) {
	s.t.Helper()
	l := &hubListener{t: s.t, events: make(chan sse.Event[string], 1000)}
	ctx, cancel := context.WithCancel(s.t.Context())
	c := sse.NewClient("http://site.test"+target, &sse.ClientOptions{
		HTTPClient: s.http(), Reconnect: sse.Never, Header: s.request("GET", target, "", header...).Header,
		Opened: func(r *http.Response) { l.header = r.Header },
	})
	done := make(chan struct{})
	l.leave = func() { cancel(); <-done }
	s.t.Cleanup(l.leave)
	go func() { // ends with the stream
		defer close(done)
		defer close(l.events)
		for ev, err := range c.Events(ctx) {
			if l.err = err; err == nil {
				l.events <- ev
			}
		}
	}()
	ev, ok := <-l.events
	if !ok && l.err != nil {
		return nil, l.err
	}
	if n, _ := fmt.Sscanf(ev.Data, `{"connection":%q,"token":%q}`, &l.id, &l.token); !ok || ev.Type != "hubwire:open" || n != 2 || l.id == l.token {
		s.t.Errorf("the stream begins with %+v", ev)
	}
	return l, nil
}

// as is the header that makes a call the hubListener's.
func (l *hubListener) as() string { return "Hubwire-Connection: " + l.token }

// take takes n events.
func (l *hubListener) take(n int) (out []string) {
	l.t.Helper()
	for range n {
		ev, ok := <-l.events
		if !ok {
			l.t.Fatalf("after %q: %v", out, l.err)
		}
		out = append(out, ev.Type+" "+ev.Data)
	}
	return out
}

// ends checks that nothing more comes.
func (l *hubListener) ends() {
	l.t.Helper()
	if ev, ok := <-l.events; ok || l.err != nil {
		l.t.Errorf("%+v, %v", ev, l.err)
	}
}

// The bytes of a connection, from its head to its end.
func TestMountBytes(t *testing.T) {
	story(t, "HTTP/1.1", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Retry: 2500 * time.Millisecond})
		conn, _ := s.pipe.dial(nil, "", "")
		defer conn.Close()
		go io.WriteString(conn, "GET /hub HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n") // ends when it is read
		br := bufio.NewReader(conn)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-store, no-transform", "X-Accel-Buffering": "no"} {
			if resp.Header.Get(k) != v {
				t.Errorf("%s: %q, want %q", k, resp.Header.Get(k), v)
			}
		}
		if resp.StatusCode != 200 || !slices.Equal(resp.TransferEncoding, []string{"chunked"}) {
			t.Errorf("%d %v", resp.StatusCode, resp.TransferEncoding)
		}
		read := func(want string) {
			t.Helper()
			b := make([]byte, len(want))
			if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != want {
				t.Fatalf("%q, %v; want %q", b, err, want)
			}
		}
		var id string
		for c := range s.hub.Connections() {
			id = c.ID()
		}
		open := make([]byte, len("event: hubwire:open\ndata: {\"connection\":\"\",\"token\":\"\"}\nretry: 2500\n\n")+24+24)
		if _, err := io.ReadFull(resp.Body, open); err != nil {
			t.Fatal(err)
		}
		var token string
		if _, err := fmt.Sscanf(string(open), "event: hubwire:open\ndata: {\"connection\":\""+id+"\",\"token\":%q}\nretry: 2500\n\n", &token); err != nil || len(token) != 24 {
			t.Errorf("%q, %v", open, err)
		}
		check(t, said.Send(t.Context(), s.hub.All(), "a\r\nb <&> é 😀 \u2028 data: x"))
		read("event: Said\ndata: [\"a\\r\\nb <&> é 😀 \\u2028 data: x\"]\n\n")
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{"a", 1, true, nil, map[string]int{"b": 2}}))
		read("event: Many\ndata: [\"a\",1,true,null,{\"b\":2}]\n\n")
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{}))
		read("event: Many\ndata: []\n\n")
		time.Sleep(14 * time.Second)
		check(t, many.Send(t.Context(), s.hub.All(), hubwire.List{}))
		read("event: Many\ndata: []\n\n")
		began := time.Now()
		read(":\n") // a heartbeat
		if d := time.Since(began); d < 14*time.Second || d > 17*time.Second {
			t.Errorf("a heartbeat after %v", d)
		}
		for c := range s.hub.Connections() {
			c.Abort()
		}
		read("id: hubwire:end\n\n")
		if n, err := resp.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
	story(t, "HTTP/1.0", func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, _ := s.pipe.dial(nil, "", "")
		defer conn.Close()
		go io.WriteString(conn, "GET /hub HTTP/1.0\r\n\r\n") // ends when it is read
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 200 || len(resp.TransferEncoding) > 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		b := make([]byte, len("event: hubwire:open\n"))
		if _, err := io.ReadFull(resp.Body, b); err != nil || string(b) != "event: hubwire:open\n" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// How a call by POST is answered.
func TestMountInvoke(t *testing.T) {
	type row struct {
		name, args string
		status     int
		body       string
	}
	rows := []row{
		{"Echo", `["hi"]`, 200, `"hi"`},
		{"eCHO", `["hi"]`, 200, `"hi"`},
		{"Echo", " [ \"\\ud83d\\ude00 \\u2028<&>\" ] \r\n", 200, "\"😀 \\u2028<&>\""},
		{"a/b c?%", `["x"]`, 200, `"x"`},
		{"Pair", `["x",2]`, 200, `"x2"`},
		{"Nothing", `[]`, 204, ``},
		{"Nothing", ``, 204, ``},
		{"Null", `[]`, 200, `null`},
		{"Nope", `[]`, 404, `{"code":"not_found","message":"There is no method Nope."}`},
		{"No\"<>", `[]`, 404, `{"code":"not_found","message":"There is no method No\"<>."}`},
		{"Echo", `[]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Echo", `["a","b"]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Echo", `[1]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Nothing", `[1]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Nothing."}`},
		{"Fails", `["error"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["panic"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["goexit"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["unauthorized"]`, 403, `{"code":"permission_denied","message":"You may not call Fails."}`},
		{"Fails", `["data"]`, 404, `{"code":"not_found","message":"no \"cake\"","data":[1,2]}`},
		{"NaN", `[]`, 500, `{"code":"unknown","message":"The call failed."}`},
		{"Joins", `["room"]`, 501, `{"code":"unimplemented","message":"hubwire: a call without a connection cannot join a group"}`},
		{"Asks", `[]`, 501, `{"code":"unimplemented","message":"hubwire: a call without a connection cannot be asked"}`},
		{"Upload", `["a"]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Sum", `[]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Mirror", `[]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Count", `["",1]`, 405, `{"code":"unimplemented","message":"Use GET."}`},
	}
	for i, status := range []int{499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 403} {
		code := hubwire.Code(i + 1)
		rows = append(rows, row{"Fails", fmt.Sprintf(`["%d"]`, code), status, fmt.Sprintf(`{"code":"%s","message":"%d"}`, strings.ReplaceAll(code.String(), " ", "_"), code)})
	}
	for _, args := range []string{`{}`, `null`, `"a"`, `1`, `[`, `]`, `["a"`, `["a",]`, `[] []`, `[]x`, `["a" "b"]`, "[\"\x01\"]", `[01]`, strings.Repeat("[", 10000), strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "\ufeff[]", " ", "\x00"} {
		rows = append(rows, row{"Nothing", args, 400, `{"code":"invalid_argument","message":"The arguments are no JSON array."}`})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, r := range rows {
			got := s.call(r.name, r.args)
			if got.status != r.status || got.body != r.body {
				t.Errorf("%s %.50s: %d %s; want %d %s", r.name, r.args, got.status, got.body, r.status, r.body)
			}
			if got.body != "" && got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v", r.name, got.header)
			}
			if r.name == "Joins" || r.name == "Asks" {
				continue // of a connection these are other things
			}
			if got := s.call(r.name, r.args, l.as()); got.status != r.status || got.body != r.body {
				t.Errorf("%s %.50s of a connection: %d %s; want %d %s", r.name, r.args, got.status, got.body, r.status, r.body)
			}
		}
		if got := s.call("Asks", `[]`, l.as()); got.status != 501 || got.body != `{"code":"unimplemented","message":"hubwire: the client cannot be asked"}` {
			t.Errorf("asking a connection: %d %s", got.status, got.body)
		}
	})
}

// What a POST must be, so that no page of another site can send it (row 73).
func TestMountForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{MaxBody: 100})
		for _, typ := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "text/json", "application/json, text/plain", "application/json;x", "application/vnd.x+json"} {
			if got := s.do("POST", "/hub/Echo", `["x"]`, "Content-Type: "+typ); got.status != 415 {
				t.Errorf("%q: %d %s", typ, got.status, got.body)
			}
		}
		for _, typ := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8"} {
			if got := s.do("POST", "/hub/Echo", `["x"]`, "Content-Type: "+typ); got.status != 200 {
				t.Errorf("%q: %d %s", typ, got.status, got.body)
			}
		}
		for _, h := range []string{"Origin: https://evil.example", "Origin: null", "Origin: http://site.test.evil.example", "Sec-Fetch-Site: cross-site"} {
			for _, got := range []reply{
				s.call("Echo", `["x"]`, h),
				s.do("GET", "/hub/Count?args=[%22%22,1]", "", h),
				s.do("GET", "/hub", "", h),
			} {
				if got.status != 403 || got.header.Get("Access-Control-Allow-Origin") != "" || got.body != `{"code":"permission_denied","message":"Origin not allowed"}` {
					t.Errorf("%s: %d %s", h, got.status, got.body)
				}
			}
		}
		if got := s.call("Echo", `["x"]`, "Origin: http://site.test"); got.status != 200 {
			t.Errorf("its own page: %d %s", got.status, got.body)
		}
		if n := len(s.noted()); n == 0 {
			t.Error("no call has connected")
		}
		if got := s.call("Echo", `["`+strings.Repeat("x", 96)+`"]`); got.status != 200 {
			t.Errorf("100 bytes: %d %s", got.status, got.body)
		}
		for _, n := range []int{97, 1 << 20} {
			if got := s.call("Echo", `["`+strings.Repeat("x", n)+`"]`); got.status != 413 {
				t.Errorf("%d bytes: %d %s", n, got.status, got.body)
			}
		}
		r := s.request("POST", "/hub/Echo", "", isJSON)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`["`+strings.Repeat("x", 200)+`"]`)), -1
		if resp, err := s.http().Do(r); err != nil || resp.StatusCode != 413 {
			t.Errorf("a body of unknown length: %v, %v", resp, err)
		} else {
			resp.Body.Close()
		}
	})
}

// An answer that does not wait for the body is not lost to the reset of a
// connection on which the body is still under way.
func TestMountUnreadBody(t *testing.T) {
	for _, c := range []struct {
		head   string
		size   int
		status string
		taken  bool // all of the body
	}{
		{"Content-Type: text/plain", 200 << 10, "415", true},
		{"Content-Type: text/plain", 1 << 20, "415", false},
		{isJSON, 200 << 10, "413", true},
		{isJSON, 1 << 20, "413", false},
		{isJSON + "\r\nOrigin: https://evil.example", 200 << 10, "403", true},
		{isJSON + "\r\nHubwire-Connection: none", 1 << 20, "404", false},
	} {
		for _, proto := range []string{"1.0", "1.1"} {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil, &sse.MountOptions{MaxBody: 100})
				conn, err := s.pipe.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				sent := make(chan error, 1)
				go func() { // ends with conn
					_, err := fmt.Fprintf(conn, "POST /hub/Echo HTTP/%s\r\nHost: site.test\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n%s", proto, c.head, c.size, strings.Repeat("x", c.size))
					sent <- err
				}()
				b, err := io.ReadAll(bufio.NewReader(conn))
				if err != nil || !strings.HasPrefix(string(b), "HTTP/"+proto+" "+c.status+" ") {
					t.Errorf("%s, %d bytes: %.60q, %v", c.head, c.size, b, err)
				}
				if err := <-sent; c.taken != (err == nil) {
					t.Errorf("%s, %d bytes: the body: %v", c.head, c.size, err)
				}
			})
		}
	}
}

func TestMountUnreadBodyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, err := s.pipe.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := time.Now()
		go func() { // ends with conn
			_, _ = fmt.Fprintf(conn, "POST /hub/Echo HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 415 || time.Since(begin) != 0 {
			t.Fatalf("%v, %v after %v", resp, err, time.Since(begin))
		}
		_, _ = io.Copy(io.Discard, conn)
		if d := time.Since(begin); d < 100*time.Millisecond {
			t.Errorf("the server has closed %v after its answer, with most of the body to come", d)
		}
	})
}

// A client that announces a body and sends none is waited for, but not long.
func TestMountUnreadBodyStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, err := s.pipe.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := time.Now()
		_, _ = io.WriteString(conn, "POST /hub/Echo HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nContent-Length: 100\r\n\r\n")
		if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 415 ") || time.Since(begin) > 10*time.Second {
			t.Errorf("%.60q, %v after %v", b, err, time.Since(begin))
		}
	})
}

func TestMountVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, c := range []struct {
			method, target, allow string
			status                int
		}{
			{"HEAD", "/hub", "GET", 405}, {"POST", "/hub", "GET", 405}, {"POST", "/hub/", "GET", 405}, {"DELETE", "/hub", "GET", 405}, {"OPTIONS", "/hub", "GET", 405},
			{"GET", "/hub/Echo", "POST", 405}, {"PUT", "/hub/Echo", "POST", 405}, {"HEAD", "/hub/Count", "GET", 405},
			{"GET", "/hub/Nope", "POST", 405}, {"POST", "/hub/a/b", "", 404}, {"POST", "/hub/a%zz", "", 400},
		} {
			r := s.request("GET", "/", "")
			r.Method = c.method
			r.URL.Opaque = c.target
			resp, err := s.http().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %d, Allow %q", c.method, c.target, resp.StatusCode, resp.Header.Get("Allow"))
			}
		}
		s.listen("/hub/").leave() // with a slash it is the same
	})
}

// Calls of a connection are its own: its id, its groups, its end.
func TestMountConnection(t *testing.T) {
	story(t, "identity", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l, other := s.listen("/hub"), s.listen("/hub")
		if got := s.call("WhoAmI", "[]", l.as()); got.body != `"`+l.id+`"` {
			t.Errorf("%s, want %s", got.body, l.id)
		}
		if got := s.call("WhoAmI", "[]"); got.body == `"`+l.id+`"` {
			t.Error("a call without a connection has one")
		}
		s.call("Tell", `["to me"]`, l.as())
		s.call("Tell", `["to nobody"]`)
		s.call("Joins", `["room"]`, l.as())
		check(t, said.Send(t.Context(), s.hub.Group("room"), "to the room"))
		s.call("Others", `["to the others"]`, l.as())
		s.call("Others", `["to all"]`)
		if got, want := l.take(3), []string{`Said ["to me"]`, `Said ["to the room"]`, `Said ["to all"]`}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if got, want := other.take(2), []string{`Said ["to the others"]`, `Said ["to all"]`}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
	story(t, "the life of a call alone", func(t *testing.T) {
		s := newSite(t, nil, nil)
		s.call("Nothing", "[]")
		if got := s.noted(); got != "connect POST, disconnect <nil>" {
			t.Error(got)
		}
		// The client leaves: the call ends.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.http().Do(s.request("POST", "/hub/Wait", "[]", isJSON).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if got := s.noted(); got != "connect POST, wait, waited context canceled, disconnect <nil>" {
			t.Error(got)
		}
	})
	story(t, "the call of a connection ends", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := s.http().Do(s.request("POST", "/hub/Wait", "[]", isJSON, l.as()).WithContext(ctx)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if got := s.noted(); got != "connect ServerSentEvents, wait, waited context canceled" {
			t.Error(got)
		}
		// And with its connection.
		done := make(chan reply)
		go func() { done <- s.call("Wait", "[]", l.as()) }() // ends with the connection
		synctest.Wait()
		l.leave()
		if got := <-done; got.status != 410 || got.body != `{"code":"canceled","message":"The connection ended before the call."}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.noted(); got != "wait, waited context canceled, disconnect <nil>" {
			t.Error(got)
		}
		if got := s.call("Nothing", "[]", l.as()); got.status != 404 {
			t.Errorf("after the end: %d %s", got.status, got.body)
		}
	})
	story(t, "respond-async", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, prefer := range []string{"respond-async", "wait=10, Respond-Async", "respond-async; foo=1"} {
			if got := s.call("Wait", "[]", l.as(), "Prefer: "+prefer); got.status != 202 || got.header.Get("Preference-Applied") != "respond-async" {
				t.Errorf("%s: %d %s", prefer, got.status, got.body)
			}
		}
		l.leave()
		if got := s.noted(); got != "connect ServerSentEvents, wait, waited context canceled, disconnect <nil>" { // the other two never ran
			t.Error(got)
		}
		// A call alone has nobody who could hear of it later: it is answered.
		if got := s.call("Echo", `["x"]`, "Prefer: respond-async"); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
	story(t, "tokens are their user's", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser})
		ann := s.listen("/hub", "X-User: ann")
		for _, h := range [][]string{{"X-User: bob", ann.as()}, {ann.as()}, {"X-User: ann", "Hubwire-Connection: guess"}, {"X-User: ann", "Hubwire-Connection: " + ann.id}} {
			if got := s.call("Echo", `["x"]`, h...); got.status != 404 || got.body != `{"code":"not_found","message":"No connection has that token."}` {
				t.Errorf("%v: %d %s", h, got.status, got.body)
			}
			if got := s.do("GET", "/hub/Count?args=[%22%22,1]", "", h...); got.status != 404 {
				t.Errorf("%v: %d %s", h, got.status, got.body)
			}
		}
		if got := s.call("Echo", `["x"]`, "X-User: ann", ann.as()); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func asUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get("X-User"); name == "nobody" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		} else if name != "" {
			u := &hubwire.User{ID: name}
			if r.Header.Get("X-Expires") != "" {
				u.Expires = time.Now().Add(time.Minute)
			}
			r = r.WithContext(hubwire.WithUser(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}

func TestMountUsers(t *testing.T) {
	story(t, "in front", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser})
		for _, got := range []reply{s.do("GET", "/hub", "", "X-User: nobody"), s.call("Echo", `["x"]`, "X-User: nobody")} {
			if got.status != 401 {
				t.Errorf("%d", got.status)
			}
		}
		a, b := s.listen("/hub", "X-User: ann"), s.listen("/hub", "X-User: bob")
		check(t, said.Send(t.Context(), s.hub.User("ann"), "x"))
		check(t, said.Send(t.Context(), s.hub.User("bob"), "y"))
		if got := a.take(1)[0] + b.take(1)[0]; got != `Said ["x"]Said ["y"]` {
			t.Error(got)
		}
	})
	story(t, "expiry", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser, CloseOnExpiry: true})
		l := s.listen("/hub", "X-User: ann", "X-Expires: soon")
		began := time.Now()
		l.ends()
		if d := time.Since(began); d < time.Minute || d > time.Minute+2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestMountGroups(t *testing.T) {
	story(t, "nobody may choose", func(t *testing.T) {
		s := newSite(t, nil, nil)
		if got := s.do("GET", "/hub?group=a", ""); got.status != 403 || got.body != `{"code":"permission_denied","message":"Groups cannot be chosen here."}` {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.noted(); got != "" {
			t.Error(got)
		}
	})
	story(t, "with Join", func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Join: func(ctx context.Context, c *hubwire.Conn, groups []string) error {
			switch {
			case slices.Contains(groups, "panic"):
				panic("no")
			case slices.Contains(groups, "private"):
				return hubwire.Errorf(hubwire.CodePermissionDenied, "not yours")
			case slices.Contains(groups, "error"):
				return NotFound{}
			}
			return ctx.Err()
		}})
		l := s.listen("/hub?group=a&group=b%2Fc%00&x=y")
		for _, g := range []string{"a", "b/c\x00", "d"} {
			check(t, said.Send(t.Context(), s.hub.Group(g), g))
		}
		check(t, said.Send(t.Context(), s.hub.All(), "all"))
		if got := l.take(3); !slices.Equal(got, []string{`Said ["a"]`, `Said ["b/c\u0000"]`, `Said ["all"]`}) {
			t.Errorf("%q", got)
		}
		l.leave()
		s.noted()
		for target, want := range map[string]int{
			"/hub?group=private": 403, "/hub?group=a&group=private": 403, "/hub?group=error": 403,
			"/hub?group=": 400, "/hub?group=" + strings.Repeat("x", 257): 400, "/hub?" + strings.Repeat("group=a&", 65): 400,
			"/hub?group=a&" + strings.Repeat("x", 9000): 400,
		} {
			got := s.do("GET", target, "")
			if got.status != want || strings.Contains(got.body, "secret") {
				t.Errorf("%.30s: %d %s", target, got.status, got.body)
			}
			if n := strings.Count(s.noted(), "disconnect"); (n == 1) != (want == 403) {
				t.Errorf("%.30s: %d times Disconnect", target, n)
			}
		}
		if _, err := s.http().Do(s.request("GET", "/hub?group=panic", "")); err == nil {
			t.Error("a panic of Join is answered")
		}
		if got := s.noted(); got != "connect ServerSentEvents, disconnect <nil>" {
			t.Error(got)
		}
	})
}

// How a connection ends, and what the client makes of it.
func TestMountEnds(t *testing.T) {
	story(t, "for good", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		if got := s.call("Abort", "[]", l.as()); got.status != 204 && got.status != 410 {
			t.Errorf("%d %s", got.status, got.body)
		}
		l.ends()
		// A browser's EventSource comes back with the id of the end, and stops.
		requests := 0
		h := s.http()
		c := sse.NewClient("http://site.test/hub", &sse.ClientOptions{HTTPClient: h, Reconnect: sse.EventSource, Prepare: func(*http.Request) error { requests++; return nil }})
		for ev, err := range c.Events(t.Context()) {
			check(t, err)
			var id, token string
			if _, err := fmt.Sscanf(ev.Data, `{"connection":%q,"token":%q}`, &id, &token); err != nil {
				t.Fatal(err)
			}
			s.call("Abort", "[]", "Hubwire-Connection: "+token)
		}
		if requests != 2 || c.LastEventID() != "hubwire:end" {
			t.Errorf("%d requests, last event id %q", requests, c.LastEventID())
		}
	})
	story(t, "shutdown", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		var told []time.Duration
		done := make(chan error)
		c := sse.NewClient("http://site.test/hub", &sse.ClientOptions{HTTPClient: s.http(), Reconnect: sse.EventSource, Header: http.Header{"User-Agent": {"Mozilla/5.0"}}, Failed: func(_ error, wait time.Duration) { told = append(told, wait) }})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // ends with ctx
			_, err := all(ctx, c)
			done <- err
		}()
		go s.call("Wait", "[]", l.as()) // ends with the shutdown
		synctest.Wait()
		down, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		began := time.Now()
		if err := s.hub.Shutdown(down); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		l.ends()
		synctest.Wait()
		if d := time.Since(began); d < 3*time.Second || d > 4*time.Second || len(told) == 0 || slices.Min(told) < time.Second || slices.Max(told) > 10*time.Second {
			t.Errorf("after %v, and back in %v", d, told)
		}
		// Whoever comes now is turned away: others by status, browsers by a stream
		// that says when to come back, as a status would be the end.
		if got := s.do("GET", "/hub", ""); got.status != 503 || got.header.Get("Retry-After") == "" {
			t.Errorf("%d %v", got.status, got.header)
		}
		for _, h := range []string{"Sec-Fetch-Mode: cors", "User-Agent: Mozilla/5.0"} {
			var n int
			if got := s.do("GET", "/hub", "", h); got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" {
				t.Errorf("%d %v", got.status, got.header)
			} else if k, err := fmt.Sscanf(got.body, "retry: %d\n\n", &n); k != 1 || n < 1000 || n > 10_000 {
				t.Errorf("%q, %v", got.body, err)
			}
		}
		if got := s.call("Echo", `["x"]`); got.status != 503 {
			t.Errorf("%d %s", got.status, got.body)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	story(t, "full", func(t *testing.T) {
		s := newSite(t, &hubwire.Options{MaxConnections: 2}, &sse.MountOptions{MaxConnections: 1})
		l := s.listen("/hub")
		if got := s.do("GET", "/hub", ""); got.status != 503 {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := s.call("Echo", `["x"]`); got.status != 200 {
			t.Errorf("calls take no place: %d %s", got.status, got.body)
		}
		l.leave()
		s.noted()
		s.listen("/hub")
	})
	story(t, "refused", func(t *testing.T) {
		var refuse error
		s := newSite(t, &hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			check(t, said.Send(ctx, c, "welcome"))
			return refuse
		}}, nil)
		for _, c := range []struct {
			err    error
			status int
			text   string
		}{
			{hubwire.ErrUnauthorized, 403, "You may not connect."},
			{NotFound{}, 403, "The connection was refused."},
			{hubwire.Errorf(hubwire.CodeResourceExhausted, "too many of you"), 429, "too many of you"},
			{hubwire.Errorf(hubwire.CodeUnauthenticated, "who are you?"), 403, "who are you?"},
		} {
			refuse = c.err
			for _, got := range []reply{s.do("GET", "/hub", ""), s.call("Echo", `["x"]`), s.do("GET", "/hub/Count?args=[%22%22,1]", "")} {
				if got.status != c.status || !strings.Contains(got.body, c.text) {
					t.Errorf("%v: %d %s", c.err, got.status, got.body)
				}
			}
		}
		refuse = nil
		if got := s.listen("/hub").take(1); got[0] != `Said ["welcome"]` {
			t.Errorf("%q", got)
		}
	})
	story(t, "aborted while it connects", func(t *testing.T) {
		s := newSite(t, &hubwire.Options{Connect: func(ctx context.Context, c *hubwire.Conn) error {
			c.Abort()
			return nil
		}}, nil)
		s.listen("/hub").ends()
		if got := s.noted(); got != "connect ServerSentEvents, disconnect <nil>" {
			t.Error(got)
		}
	})
}

// Of a hundred streams five are not read (row 54): they are cut, and nobody else
// notices.
func TestMountStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 50, Stall: time.Minute}}, nil)
		var stalled []net.Conn
		for range 5 {
			conn, _ := s.pipe.dial(nil, "", "")
			stalled = append(stalled, conn)
			io.WriteString(conn, "GET /hub HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil); err != nil {
				t.Fatal(err)
			}
		}
		var ls []*hubListener
		for range 100 {
			ls = append(ls, s.listen("/hub"))
		}
		var wg sync.WaitGroup
		for _, l := range ls {
			wg.Go(func() {
				for i := range 500 {
					if got := l.take(1); got[0] != fmt.Sprintf(`Said ["%d"]`, i) {
						t.Errorf("event %d: %q", i, got)
						return
					}
				}
			})
		}
		for i := range 500 {
			check(t, said.Send(t.Context(), s.hub.All(), fmt.Sprint(i)))
			if i%40 == 0 {
				synctest.Wait()
			}
		}
		wg.Wait()
		synctest.Wait()
		n := 0
		for range s.hub.Connections() {
			n++
		}
		if n != 100 {
			t.Errorf("%d connections are left", n)
		}
		for _, c := range stalled {
			c.Close()
		}
	})
}

func TestMountStreams(t *testing.T) {
	const args = "/hub/Count?args="
	story(t, "bytes", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for q, want := range map[string]string{
			`["",0]`:        "event: end\ndata: null\nid: hubwire:end\n\n",
			`["",2]`:        "data: \"0\\n\"\n\ndata: \"1\\n\"\n\nevent: end\ndata: null\nid: hubwire:end\n\n",
			`["no more",1]`: "data: \"0\\n\"\n\nevent: fail\ndata: {\"code\":\"aborted\",\"message\":\"no more\"}\nid: hubwire:end\n\n",
		} {
			got := s.do("GET", args+url.QueryEscape(q), "")
			if got.status != 200 || got.header.Get("Content-Type") != "text/event-stream" || got.body != want {
				t.Errorf("%s: %d %q, want %q", q, got.status, got.body, want)
			}
		}
		if got := s.noted(); strings.Count(got, "connect ServerSentEvents, disconnect <nil>") != 3 {
			t.Error(got)
		}
		if got := s.do("GET", "/hub/NaNs", ""); got.body != "data: 1\n\nevent: fail\ndata: {\"code\":\"unknown\",\"message\":\"NaNs failed.\"}\nid: hubwire:end\n\n" {
			t.Errorf("%q", got.body)
		}
	})
	story(t, "refusals", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for q, want := range map[string]int{
			`["no more",0]`: 409, // fails before its first item
			`[]`:            400, `["",1,2]`: 400, `[1,""]`: 400, `x`: 400, `{}`: 400, `["",1]&args=[]`: 400, ``: 400,
			`["` + strings.Repeat("x", 8200) + `",1]`: 414,
		} {
			for _, h := range []string{"X: y", l.as()} {
				got := s.do("GET", args+strings.NewReplacer(`"`, "%22", " ", "%20").Replace(q), "", h)
				if got.status != want || got.header.Get("Content-Type") != "application/json" {
					t.Errorf("%.20s: %d %s, want %d", q, got.status, got.body, want)
				}
			}
		}
	})
	story(t, "a finished one does not begin again", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, q := range []string{`["",3]`, `["no more",3]`} {
			requests := 0
			c := sse.NewClient("http://site.test"+args+url.QueryEscape(q), &sse.ClientOptions{HTTPClient: s.http(), Reconnect: sse.EventSource, Prepare: func(*http.Request) error { requests++; return nil }})
			if got, err := all(t.Context(), c); err != nil || len(got) != 4 || requests != 2 {
				t.Errorf("%q, %v, %d requests", got, err, requests)
			}
		}
	})
	story(t, "a slow one", func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, as := range []string{"X: y", s.listen("/hub").as()} {
			s.noted()
			r := s.request("GET", "/hub/Forever", "", as)
			ctx, cancel := context.WithCancel(t.Context())
			resp, err := s.http().Do(r.WithContext(ctx))
			check(t, err)
			br := bufio.NewReader(resp.Body)
			for i := range 3 {
				var got string
				for got == "" {
					line, err := br.ReadString('\n')
					check(t, err)
					if got = strings.TrimSpace(line); got == ":" { // heartbeats between
						got = ""
					}
				}
				if got != fmt.Sprintf("data: %d", i) {
					t.Errorf("%q", got)
				}
			}
			cancel()
			resp.Body.Close()
			if got := s.noted(); !strings.Contains(got, "forever, over context canceled") {
				t.Error(got)
			}
		}
	})
	story(t, "it ends with its connection", func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		done := make(chan reply)
		go func() { done <- s.do("GET", "/hub/Forever", "", l.as()) }() // ends with the connection
		time.Sleep(time.Second)
		l.leave()
		got := <-done
		if !strings.HasPrefix(got.body, "data: 0\n\nevent: ") || !strings.HasSuffix(got.body, "\nid: hubwire:end\n\n") {
			t.Errorf("%q", got.body)
		}
	})
}

// Names that would be lines of their own are refused where they are sent.
func TestMountEventNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, name := range []string{"a\nb", "a\rb", "a\r\ndata: x", "a\x00b"} {
			if err := hubwire.Event[string](name).Send(t.Context(), s.hub.All(), "x"); !errors.Is(err, sse.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for _, name := range []string{" a:b ", "é", "message", "error", "a\u2028"} {
			check(t, hubwire.Event[string](name).Send(t.Context(), s.hub.All(), "x"))
			if got := l.take(1)[0]; got != name+` ["x"]` {
				t.Errorf("%q, want %q", got, name)
			}
		}
		check(t, hubwire.Event[jsonText]("raw").Send(t.Context(), s.hub.All(), jsonText("[1,\n 2,\r\n\"a\"]\n")))
		if got := l.take(1)[0]; strings.Map(noSpace, got) != `raw[[1,2,"a"]]` {
			t.Errorf("%q", got)
		}
	})
}

func noSpace(r rune) rune {
	if strings.ContainsRune(" \r\n", r) {
		return -1
	}
	return r
}

// A jsonText is JSON as it was written.
type jsonText string

func (j jsonText) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// One hub, other wires: the same groups and users.
func TestMountBesideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{Middleware: asUser, Join: func(context.Context, *hubwire.Conn, []string) error { return nil }})
		l := s.listen("/hub?group=room", "X-User: ann")
		o := hubtest.New(t, s.hub).DialWith(t, &hubtest.DialOptions{User: &hubwire.User{ID: "ann"}})
		check(t, joins.Call(t.Context(), o, "room"))
		check(t, said.Send(t.Context(), s.hub.Group("room"), "room"))
		check(t, said.Send(t.Context(), s.hub.User("ann"), "ann"))
		check(t, others.Call(t.Context(), o, "from there"))
		s.call("Others", `["from here"]`, l.as(), "X-User: ann")
		if got := l.take(3); !slices.Equal(got, []string{`Said ["room"]`, `Said ["ann"]`, `Said ["from there"]`}) {
			t.Errorf("%q", got)
		}
		synctest.Wait()
		if got := hubtest.Got(t, o, said); !slices.Equal(got, []string{"room", "ann", "from here"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestMountCORS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{AllowedOrigins: []string{"https://app.example"}, AllowedHosts: []string{"site.test"}, Middleware: asUser})
		const app = "Origin: https://app.example"
		for _, got := range []reply{s.call("Echo", `["x"]`, app), s.call("Nope", `[]`, app), s.call("Echo", `["x"]`, app, "X-User: nobody"), s.do("GET", "/hub/Count?args=[%22%22,1]", "", app)} {
			if h := got.header; h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Credentials") != "true" || !slices.Contains(h["Vary"], "Origin") {
				t.Errorf("%d %v", got.status, h)
			}
		}
		if h := s.listen("/hub", app).header; h.Get("Access-Control-Allow-Origin") != "https://app.example" {
			t.Errorf("%v", h)
		}
		got := s.do("OPTIONS", "/hub/Echo", "", app, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type, hubwire-connection")
		if h := got.header; got.status != 204 || h.Get("Access-Control-Allow-Methods") != "GET, POST" || h.Get("Access-Control-Allow-Headers") != "content-type, hubwire-connection" {
			t.Errorf("%d %v", got.status, h)
		}
		for _, got := range []reply{s.call("Echo", `["x"]`, "Host: evil.example"), s.do("GET", "/hub", "", "Host: evil.example")} {
			if got.status != 403 || got.body != `{"code":"permission_denied","message":"Host not allowed"}` {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	})
}

func TestMountOptions(t *testing.T) {
	for text, opts := range map[string]*sse.MountOptions{
		"Heartbeat is -1ns":       {Heartbeat: -1},
		"Retry is 1ns":            {Retry: 1},
		"MaxConnections is -1":    {MaxConnections: -1},
		`AllowedOrigins has "a"`:  {AllowedOrigins: []string{"a"}},
		`AllowedHosts has "http:`: {AllowedHosts: []string{"http://a"}},
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "sse: options: ") || !strings.Contains(p, text) {
					t.Errorf("%s: %s", text, p)
				}
			}()
			sse.Mount(http.NewServeMux(), "/", hubwire.New(nil), opts)
		}()
	}
}

// Whatever is asked for, the answer is one of ours.
func FuzzMount(f *testing.F) {
	for _, args := range []string{`["x"]`, `[]`, `["x",1]`, `[`, `{}`, ``, "[\"\xff\"]", `["\ud800"]`, `[1e400]`} {
		for _, name := range []string{"Echo", "Count", "Pair", "Fails", "", "a%2Fb", "..", "Nope"} {
			f.Add("POST", name, args, "application/json", "")
			f.Add("GET", name, args, "", "guess")
		}
	}
	f.Fuzz(func(t *testing.T, method, name, args, typ, token string) {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, nil, nil)
			target := "/hub/" + url.PathEscape(name)
			if method == "GET" {
				target += "?args=" + url.QueryEscape(args)
			}
			r, err := http.NewRequestWithContext(t.Context(), method, "http://site.test"+target, strings.NewReader(args))
			if err != nil {
				return
			}
			r.Header.Set("Content-Type", typ)
			r.Header.Set("Hubwire-Connection", token)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			resp, err := s.http().Do(r.WithContext(ctx))
			if err != nil {
				return // no request
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			switch resp.StatusCode {
			case 200, 204, 301, 307, 308, 400, 403, 404, 405, 409, 414, 415, 429, 499, 500, 501, 503, 504:
			default:
				t.Errorf("%d %q", resp.StatusCode, b)
			}
			if strings.Contains(string(b), "secret") {
				t.Errorf("%q", b)
			}
		})
	})
}
