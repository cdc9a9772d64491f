package signalr_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// A journal is a log that tests read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(lockedWriter{&j.mu, &j.buf}, nil)) // from level Info on
}

// wants checks that the log has each text, so many times.
func (j *journal) wants(t *testing.T, times int, text string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := strings.Count(j.buf.String(), text); n != times {
		t.Errorf("%d times %q, want %d, in the log:\n%s", n, text, times, j.buf.String())
	}
}

// told makes a hub whose log is read.
func told(t *testing.T, detailed bool) (*spy, *journal) {
	j := &journal{}
	return newHub(t, &hubwire.Options{DetailedErrors: detailed, Logger: j.logger()}), j
}

// A client that asks for a protocol that the hub has not is told which there are.
func TestTellsWhichProtocolsThereAre(t *testing.T) {
	for _, detailed := range []bool{false, true} {
		hub, log := told(t, detailed)
		s := serve(t, hub.Hub, &signalr.Options{Protocols: []string{"json"}})
		p := s.dial("/hub")
		p.text(`{"protocol":"messagepack","version":1}` + "\x1e")
		want := `{"error":"The protocol 'messagepack' is not supported."}`
		if detailed {
			want = `{"error":"The protocol 'messagepack' is not supported. This hub has: json."}`
		}
		p.want(want)
		p.wantClose(1000)
		log.wants(t, 1, "This hub has: json.")
	}
}

// A token that nothing in front of the hub reads is spoken of, once, and not
// shown.
func TestTellsOfTokensThatNobodyReads(t *testing.T) {
	const text = "no middleware makes a user of it"
	hub, log := told(t, false)
	s := serve(t, hub.Hub, nil)
	for range 3 {
		s.dial("/hub?access_token=hush").shake("json")
		s.dial("/hub", "Authorization: Bearer hush").shake("json")
	}
	log.wants(t, 1, text)
	log.wants(t, 0, "hush")

	hub, log = told(t, false)
	s = serve(t, hub.Hub, &signalr.Options{Middleware: asUser})
	s.dial("/hub?access_token=hush", "X-User: ann").shake("json")
	s.dial("/hub").shake("json")
	log.wants(t, 0, text)
}

// An id that names nothing: the log says why, and the client is told with
// detailed errors.
func TestTellsWhyAnIDIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := []byte("a key that two of the nodes share")
		hub, log := told(t, true)
		s := serve(t, hub.Hub, &signalr.Options{Node: "a", TokenKey: key, Middleware: asUser})
		other := serve(t, newHub(t, nil).Hub, &signalr.Options{Node: "b", TokenKey: key})
		stranger := serve(t, newHub(t, nil).Hub, &signalr.Options{Node: "c"})

		_, unused := s.negotiate("")
		id, used := s.negotiate("")
		p := s.dial("/hub?id=" + used)
		p.shake("json")
		p.records(`{"type":7}␞`)
		p.want(closedPlain)
		p.wantClose(1000)
		_, annas := s.negotiateAs("", "X-User: ann")
		_, theirs := other.negotiate("")
		_, strange := stranger.negotiate("")
		ask := func(token, why string) {
			t.Helper()
			want := "No Connection with that ID"
			if why != "" {
				log.wants(t, 0, "no connection with that id: "+why)
				want += ": " + why
			}
			if r := s.request(http.MethodGet, "/hub?id="+token); r.status != 404 || r.body != want {
				t.Errorf("%d %q, want %q", r.status, r.body, want)
			}
			if why != "" {
				log.wants(t, 1, "no connection with that id: "+why)
			}
		}
		ask(used, "its connection has ended, or was not opened within 15s of the negotiation")
		ask(id, "this is a connectionId; since negotiateVersion 1 requests want the connectionToken")
		ask(annas, "it belongs to another user, another hub, or to this server before it started anew")
		ask(theirs, "it was negotiated with another server than a. Let the balancer send all requests of a client to one server (sticky sessions).")
		ask(strange, "it was negotiated with server c, which shares no TokenKey with a")
		ask("nonsense", "")
		time.Sleep(17 * time.Second)
		if r := s.request(http.MethodGet, "/hub?id="+unused); r.status != 404 || !strings.Contains(r.body, "not opened within 15s") {
			t.Errorf("expired: %d %q", r.status, r.body)
		}
	})

	// Without detailed errors the client learns no more than elsewhere.
	hub, log := told(t, false)
	s := serve(t, hub.Hub, nil)
	id, _ := s.negotiate("")
	if r := s.request(http.MethodGet, "/hub?id="+id); r.body != "No Connection with that ID" {
		t.Errorf("%q", r.body)
	}
	log.wants(t, 1, "this is a connectionId")
}

// A client that polls though it was offered WebSockets: the log says why.
func TestTellsWhyAClientPolls(t *testing.T) {
	const polls = "a client polls though it was offered WebSockets"
	synctest.Test(t, func(t *testing.T) {
		hub, log := told(t, false)
		s := serve(t, hub.Hub, nil)
		s.lp("", "json")
		log.wants(t, 1, polls)
		log.wants(t, 1, "no WebSocket of its was seen")

		// A proxy took the headers that belong to one connection.
		_, token := s.negotiate("")
		s.request(http.MethodGet, "/hub?id="+token, upgrade[2:]...)
		log.wants(t, 1, "a proxy on the way does not let WebSockets pass")
		s.polled.Store(token, []string(nil))

		s.tryDial("/hub", "Origin: https://evil.example")
		s.lp("", "json")
		log.wants(t, 1, "the origin of its page is not among AllowedOrigins: https://evil.example")

		time.Sleep(time.Minute) // long ago
		s.lp("", "json")
		log.wants(t, 2, "no WebSocket of its was seen")
	})
	hub, log := told(t, false)
	s := serve(t, hub.Hub, &signalr.Options{Transports: signalr.LongPolling})
	s.lp("", "json")
	log.wants(t, 0, polls)
}

// Groups are gone after a reconnect: the log says so when it is of use.
func TestTellsThatMembershipsEnd(t *testing.T) {
	j := &journal{}
	hub := newHub(t, &hubwire.Options{
		Logger:  slog.New(slog.NewTextHandler(lockedWriter{&j.mu, &j.buf}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Connect: func(ctx contextT, c *hubwire.Conn) error { return c.Join(ctx, "one", "two") },
	})
	s := serve(t, hub.Hub, nil)
	p := s.connect("json")
	p.records(`{"type":7}␞`)
	p.want(closedPlain)
	p.wantClose(1000)
	hub.wantGone(t, "")
	j.wants(t, 1, "memberships end with their connection")
	j.wants(t, 1, "groups=2")
}

// A server's WriteTimeout that cannot be lifted is spoken of before it cuts.
func TestTellsOfAWriteTimeout(t *testing.T) {
	hide := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(struct{ http.ResponseWriter }{w}, r)
		})
	}
	hub, log := told(t, false)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/hub", hub.Hub, &signalr.Options{Middleware: hide})
	s := serveHandler(t, hub.Hub, mux)
	s.srv.WriteTimeout = time.Minute
	token := s.lp("", "json")
	_ = token
	log.wants(t, 1, "WriteTimeout ends event streams and polls")
}
