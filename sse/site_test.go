package sse_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
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

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

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
