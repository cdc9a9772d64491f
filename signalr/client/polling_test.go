package client_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

// A poller answers the polls of a client as the test says.
type poller struct {
	polls  atomic.Int32
	bodies chan string // answers; "204" is one without content
	posts  box[string]
	gone   atomic.Bool // a DELETE came
}

func (s *stub) polling() *poller {
	p := &poller{bodies: make(chan string, 100)}
	mux := s.routes()
	mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, defaultOffer) })
	mux.HandleFunc("POST /hub", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		p.posts.put(strings.ReplaceAll(string(b), "\x1e", "~"))
	})
	mux.HandleFunc("DELETE /hub", func(w http.ResponseWriter, _ *http.Request) {
		p.gone.Store(true)
		p.bodies <- `{"type":7}~`
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /hub", func(w http.ResponseWriter, r *http.Request) {
		if p.polls.Add(1) == 1 {
			return
		}
		select {
		case body := <-p.bodies:
			if body == "204" {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			_, _ = io.WriteString(w, strings.ReplaceAll(body, "~", "\x1e"))
		case <-r.Context().Done():
		}
	})
	p.bodies <- "{}~"
	return p
}

func TestPolling(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		p := s.polling()
		var got box[string]
		c := s.mustDial(&client.Options{Transports: client.LongPolling, Handlers: []hubwire.ClientHandler{got.on(receive)}})
		// A message may be cut over two answers, or come with others.
		p.bodies <- event("a") + "~" + `{"type":1,"target":"Rec`
		p.bodies <- `eive","arguments":["b"]}~`
		p.bodies <- ""
		p.bodies <- event("c") + "~"
		equal(t, got.take(t, 3), []string{"a", "b", "c"})
		// Hours without a word are no timeout, and nobody pings.
		time.Sleep(time.Hour)
		equal(t, c.State(), client.Connected)
		if n := p.polls.Load(); n < 36 || n > 50 {
			t.Errorf("%d polls in an hour", n)
		}
		check(t, nothing.Send(t.Context(), c, hubwire.None{}))
		synctest.Wait()
		check(t, c.Close())
		equal(t, p.posts.rest(), []string{`{"protocol":"json","version":1}~`, `{"type":1,"target":"Nothing","arguments":[]}~`, `{"type":7}~`})
		equal(t, p.gone.Load(), true)
	})
}

// The server's end is one in good order.
func TestPollingEnds(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		p := s.polling()
		var happened course
		opts := happened.options()
		opts.Transports = client.LongPolling
		s.mustDial(opts)
		p.bodies <- "204"
		equal(t, happened.next(t), "closed: none")
	})
}

// A server, or a proxy, that answers at once with nothing is not asked in a
// loop.
func TestPollingInHaste(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		p := s.polling()
		c := s.mustDial(&client.Options{Transports: client.LongPolling})
		for range 50 {
			p.bodies <- ""
		}
		time.Sleep(2 * time.Second)
		if n := p.polls.Load(); n > 25 {
			t.Errorf("%d polls in two seconds", n)
		}
		check(t, c.Close())
	})
}

func TestPollIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		p := s.polling()
		var happened course
		opts := happened.options()
		opts.Transports = client.LongPolling
		c := s.mustDial(opts)
		s.routes().HandleFunc("GET /hub", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, event("a")+"\x1e")
		})
		p.bodies <- pingText + "~"
		equal(t, happened.next(t), "closed: LongPolling: the answer broke off: unexpected EOF")
		wantText(t, c.Err(), "the answer broke off")
	})
}

// What the hub says last is heard before the failure of a POST.
func TestCloseComesBeforeAFailedPost(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		p := s.polling()
		var happened course
		opts := happened.options()
		opts.Transports, opts.Reconnect = client.LongPolling, client.Delays(0)
		c := s.mustDial(opts)
		time.Sleep(time.Second)
		s.set(func(s *stub) { s.mux = http.NewServeMux() }) // 404 to all that follows
		_ = nothing.Send(t.Context(), c, hubwire.None{})
		time.Sleep(100 * time.Millisecond)
		p.bodies <- `{"type":7,"error":"over"}~` // in the poll that is parked
		equal(t, happened.next(t), "closed: the server closed the connection: over")
	})
}

// A POST that fails is the end of the connection, and of its calls.
func TestFailedPost(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		s.polling()
		var happened course
		opts := happened.options()
		opts.Transports = client.LongPolling
		c := s.mustDial(opts)
		s.set(func(s *stub) { s.mux = http.NewServeMux() })
		want := "LongPolling: 404 Not Found: 404 page not found (the server does not know the connection: it has ended, or several servers lack sticky sessions, or the hub does not have this transport)"
		err := nothing.Call(context.Background(), c, hubwire.None{})
		equal(t, errorText(err), "client: the connection has ended: "+want)
		equal(t, happened.next(t), "closed: "+want)
	})
}
