package signalr_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
)

// do makes one HTTP request with a body on a connection of its own. The answer
// comes when done is called.
func (s *site) do(ctx context.Context, method, target, body string, header ...string) (reply, error) {
	tr := &http.Transport{DialContext: s.dialer(), DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, method, "http://example.com"+target, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for _, h := range header {
		k, v, _ := strings.Cut(h, ": ")
		r.Header.Add(k, v)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b)}, err
}

func (s *site) dialer() func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return s.net.dial() }
}

// post sends records, ␞ standing for the separator, and wants 200.
func (s *site) post(token, records string, header ...string) {
	s.t.Helper()
	r, err := s.do(s.t.Context(), http.MethodPost, "/hub?id="+token, strings.ReplaceAll(records, "␞", "\x1e"), header...)
	if err != nil || r.status != 200 || r.body != "" {
		s.t.Fatalf("POST: %d %q %v", r.status, r.body, err)
	}
}

// wantPost sends a body and checks the status and the answer.
func (s *site) wantPost(token, body string, status int, text string, header ...string) {
	s.t.Helper()
	r, err := s.do(s.t.Context(), http.MethodPost, "/hub?id="+token, body, header...)
	if err != nil || r.status != status || r.body != text {
		s.t.Fatalf("POST: %d %q %v, want %d %q", r.status, r.body, err, status, text)
	}
}

func (s *site) tryDelete(token string, header []string) {
	_, _ = s.do(context.Background(), http.MethodDelete, "/hub?id="+token, "", header...)
}

func (s *site) delete(token string, header ...string) reply {
	s.t.Helper()
	r, err := s.do(s.t.Context(), http.MethodDelete, "/hub?id="+token, "", header...)
	if err != nil {
		s.t.Fatalf("DELETE: %v", err)
	}
	return r
}

// A pending is a poll on its way.
type pending struct {
	t      testing.TB
	ch     chan reply
	cancel context.CancelFunc
}

// park begins a poll.
func (s *site) park(token string, header ...string) *pending {
	s.polled.Store(token, header)
	ctx, cancel := context.WithCancel(s.t.Context())
	p := &pending{s.t, make(chan reply, 1), cancel}
	go func() { // ends with the poll
		defer close(p.ch)
		r, err := s.do(ctx, http.MethodGet, "/hub?id="+token, "", header...)
		if err == nil {
			p.ch <- r
		}
	}()
	s.t.Cleanup(cancel)
	return p
}

// want waits for the poll's answer.
func (p *pending) want(status int, body string) reply {
	p.t.Helper()
	select {
	case r, ok := <-p.ch:
		body = strings.ReplaceAll(body, "␞", "\x1e")
		if !ok || r.status != status || r.body != body {
			p.t.Fatalf("poll: %d %q, want %d %q", r.status, r.body, status, body)
		}
		return r
	case <-time.After(5 * time.Minute):
		p.t.Fatal("the poll is not answered")
		panic("unreachable")
	}
}

// poll makes a poll and waits for its answer.
func (s *site) poll(token string, status int, body string, header ...string) reply {
	s.t.Helper()
	return s.park(token, header...).want(status, body)
}

// lp starts a polled connection and shakes hands.
func (s *site) lp(query, protocol string, header ...string) (token string) {
	s.t.Helper()
	_, token = s.negotiateAs(query, header...)
	s.poll(token, 200, "", header...)
	s.post(token, `{"protocol":"`+protocol+`","version":1}␞`, header...)
	s.poll(token, 200, "{}␞", header...)
	return token
}

// lpAt is lp with a query on the requests of the transport.
func (s *site) lpAt(query string) (token string) {
	s.t.Helper()
	_, token = s.negotiate("")
	s.poll(token+query, 200, "")
	s.post(token, `{"protocol":"json","version":1}␞`)
	s.poll(token, 200, "{}␞")
	return token
}

func (s *site) negotiateAs(query string, header ...string) (id, token string) {
	s.t.Helper()
	r := s.request(http.MethodPost, "/hub/negotiate?negotiateVersion=1"+query, header...)
	id, token = member(r.body, "connectionId"), member(r.body, "connectionToken")
	if r.status != 200 || token == "" {
		s.t.Fatalf("negotiate: %d %s", r.status, r.body)
	}
	return id, token
}

// An eventSource reads an event stream.
type eventSource struct {
	t     testing.TB
	s     *site
	token string
	head  *http.Response
	lines chan string // without their ends; closed at the end
	err   error       // valid at the end
	body  io.ReadCloser
	have  []string
}

// sse starts an event stream. The body is read by hand, as it is on the wire.
func (s *site) sse(token string, header ...string) *eventSource {
	s.t.Helper()
	e, r := s.trySSE(token, header...)
	if r.StatusCode != 200 {
		b, _ := io.ReadAll(r.Body)
		s.t.Fatalf("event stream: %d %s", r.StatusCode, b)
	}
	return e
}

func (s *site) trySSE(token string, header ...string) (*eventSource, *http.Response) {
	s.t.Helper()
	c, err := s.net.dial()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n%s\r\n", token, strings.Join(append(header, ""), "\r\n"))
	req, _ := http.NewRequest(http.MethodGet, "http://example.com/", nil)
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		s.t.Fatalf("event stream: %v", err)
	}
	e := &eventSource{t: s.t, s: s, token: token, head: res, lines: make(chan string, 10_000), body: c}
	if res.StatusCode == 200 {
		go e.read() // ends with the connection
	}
	return e, res
}

func (e *eventSource) read() {
	defer close(e.lines)
	br := bufio.NewReader(e.head.Body)
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			if err != io.EOF || line != "" {
				e.err = fmt.Errorf("%q: %w", line, err)
			}
			return
		}
		e.lines <- strings.TrimSuffix(line, "\r\n")
	}
}

func (e *eventSource) line() (string, bool) {
	e.t.Helper()
	select {
	case l, ok := <-e.lines:
		return l, ok
	case <-time.After(5 * time.Minute):
		e.t.Fatal("no line for five minutes")
		panic("unreachable")
	}
}

// record is the next hub message, without its separator.
func (e *eventSource) record() string {
	e.t.Helper()
	for len(e.have) == 0 {
		l, ok := e.line()
		switch {
		case !ok:
			e.t.Fatalf("instead of a message: the end (%v)", e.err)
		case l == "" || l == ":":
		case strings.HasPrefix(l, "data: ") && strings.HasSuffix(l, "\x1e"):
			e.have = strings.Split(strings.TrimSuffix(l[6:], "\x1e"), "\x1e")
		default:
			e.t.Fatalf("a line %q", l)
		}
	}
	r := e.have[0]
	e.have = e.have[1:]
	return r
}

func (e *eventSource) want(records ...string) {
	e.t.Helper()
	for _, want := range records {
		if got := e.record(); got != want {
			e.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// wantEnd checks that the response ends, as it should.
func (e *eventSource) wantEnd() {
	e.t.Helper()
	for {
		l, ok := e.line()
		if !ok {
			break
		}
		if l != "" && l != ":" || len(e.have) > 0 {
			e.t.Fatalf("before the end: %q %q", e.have, l)
		}
	}
	if e.err != nil {
		e.t.Fatalf("the end: %v", e.err)
	}
}

// wantCut checks that the response is cut off.
func (e *eventSource) wantCut() {
	e.t.Helper()
	for {
		if _, ok := e.line(); !ok {
			break
		}
	}
	if e.err == nil {
		e.t.Fatal("the response has an end like any other")
	}
}

func (e *eventSource) post(records string) { e.t.Helper(); e.s.post(e.token, records) }

func (e *eventSource) call(id, target, arguments string) {
	e.t.Helper()
	e.post(`{"type":1,"invocationId":"` + id + `","target":"` + target + `","arguments":[` + arguments + `]}␞`)
}

// events starts a connection over an event stream and shakes hands.
func (s *site) events(header ...string) *eventSource {
	s.t.Helper()
	_, token := s.negotiateAs("", header...)
	e := s.sse(token, header...)
	e.s.post(token, `{"protocol":"json","version":1}␞`, header...)
	e.want("{}")
	return e
}

// asUser is middleware that takes the user from a header.
func asUser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := r.Header.Get("X-User"); name != "" {
			u := &hubwire.User{ID: name}
			if d, err := time.ParseDuration(r.Header.Get("X-Life")); err == nil {
				u.Expires = time.Now().Add(d)
			}
			r = r.WithContext(hubwire.WithUser(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}
