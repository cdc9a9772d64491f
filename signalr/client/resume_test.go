package client_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

func stateful(s *stub) {
	s.set(func(s *stub) { s.offer = `{"useStatefulReconnect":true,` + defaultOffer[1:] })
}

const (
	callNothing1 = `{"type":1,"invocationId":"1","target":"Nothing","arguments":[]}`
	callNothing2 = `{"type":1,"invocationId":"2","target":"Nothing","arguments":[]}`
	done1        = `{"type":3,"invocationId":"1","result":null}`
	done2        = `{"type":3,"invocationId":"2","result":null}`
)

func event(text string) string {
	return `{"type":1,"target":"Receive","arguments":["` + text + `"]}`
}

// The transcript of section 14.6.
func TestResumeOnTheWire(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		s.set(func(s *stub) { s.raw = true })
		var got box[string]
		go func() { // ends with the first socket
			k := <-s.sockets
			if hello := k.read(); hello != `{"protocol":"json","version":2}` {
				t.Errorf("the handshake is %s", hello)
			}
			k.write("{}")
			s.sockets <- k
		}()
		c := s.mustDial(&client.Options{Stateful: true, Handlers: []hubwire.ClientHandler{got.on(receive)}})
		k := <-s.sockets
		wantQuery(t, s, "POST", "negotiateVersion=1&useStatefulReconnect=true")
		wantQuery(t, s, "GET", "id=TOKEN")
		k.want(pingText)
		calls := make(chan error, 2)
		go func() { calls <- nothing.Call(t.Context(), c, hubwire.None{}) }() // ends with its answer
		k.want(callNothing1)
		go func() { calls <- nothing.Call(t.Context(), c, hubwire.None{}) }() // ends with its answer
		k.want(callNothing2)
		k.write(event("a"), event("b"))
		equal(t, got.take(t, 2), []string{"a", "b"})
		_ = k.ws.Write(context.Background(), 1, []byte(`{"type":1,"target":"Rec`)) // half a message
		k.end()

		k = <-s.sockets
		wantQuery(t, s, "GET", "id=TOKEN")
		// Nothing counts before the server says where it goes on.
		k.write(event("old"), pingText, `{"type":9,"sequenceId":2}`, event("b"), event("c"), done1, done2)
		k.want(`{"type":9,"sequenceId":1}`)
		k.want(callNothing1)
		k.want(callNothing2)
		check(t, <-calls)
		check(t, <-calls)
		equal(t, got.next(t), "c")
		began := time.Now()
		k.want(`{"type":8,"sequenceId":5}`)
		equal(t, time.Since(began), 250*time.Millisecond)
		// The server has the first call; the second comes again, as number 2.
		k.write(`{"type":8,"sequenceId":1}`, pingText)
		synctest.Wait()
		k.end()

		k = <-s.sockets
		k.write(`{"type":9,"sequenceId":6}`)
		k.want(`{"type":9,"sequenceId":2}`)
		k.want(callNothing2)
		k.want(`{"type":8,"sequenceId":5}`) // the last may be lost
		// More than was sent is all that was sent.
		k.write(`{"type":8,"sequenceId":99}`)
		synctest.Wait()
		go func() { calls <- nothing.Send(t.Context(), c, hubwire.None{}) }() // ends at once
		check(t, <-calls)
		k.want(`{"type":1,"target":"Nothing","arguments":[]}`)
		k.end()

		k = <-s.sockets
		k.write(`{"type":9,"sequenceId":6}`)
		k.want(`{"type":9,"sequenceId":3}`)
		k.want(`{"type":1,"target":"Nothing","arguments":[]}`)
		go k.serve(func(string) {}) // ends with c
		check(t, c.Close())
		equal(t, len(got.rest()), 0)
	})
}

func wantQuery(t *testing.T, s *stub, method, query string) {
	t.Helper()
	r := s.requests.next(t)
	equal(t, r.Method+" "+r.URL.RawQuery, method+" "+query)
}

// A server that goes on behind what came has lost something.
func TestResumeWithAGap(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		var happened course
		opts := happened.options()
		opts.Stateful = true
		c := s.mustDial(opts)
		k := <-s.sockets
		k.want(pingText)
		k.write(event("a"))
		synctest.Wait()
		s.set(func(s *stub) { s.raw = true })
		k.end()
		k = <-s.sockets
		k.write(`{"type":9,"sequenceId":3}`)
		equal(t, happened.next(t), "closed: the server has lost messages: it goes on with number 3, the last that came is 1")
		k.end()
		check(t, c.Close())
	})
}

// In the window, attempts are made again and again; calls wait.
func TestResumeWindow(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		var happened course
		opts := happened.options()
		opts.Stateful, opts.Reconnect = true, client.Delays(0)
		c := s.mustDial(opts)
		k := <-s.sockets
		k.want(pingText)
		began := time.Now()
		s.set(func(s *stub) { s.raw = true })
		mux := s.mux
		busy := s.routes()
		var tries atomic.Int32
		busy.HandleFunc("GET /hub", func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		k.end()
		call := make(chan error, 1)
		go func() { call <- nothing.Call(t.Context(), c, hubwire.None{}) }() // ends with its answer
		time.Sleep(10 * time.Second)
		equal(t, c.State(), client.Connected)
		equal(t, c.ID(), "ID")
		if n := tries.Load(); n < 8 || n > 30 {
			t.Errorf("%d attempts in ten seconds", n)
		}
		s.set(func(s *stub) { s.mux = mux })
		k = <-s.sockets
		k.want(`{"type":9,"sequenceId":1}`)
		k.write(`{"type":9,"sequenceId":1}`, done1)
		check(t, <-call)
		equal(t, len(happened.rest()), 0)

		// Away for too long: another connection.
		began = time.Now()
		s.set(func(s *stub) { s.mux = busy })
		s.set(func(s *stub) { s.raw = false })
		go func() { call <- hubwire.Command[string]("Wait").Call(t.Context(), c, "x") }() // ends with the connection
		k.want(callNothing1)
		k.end()
		err := <-call
		if took := time.Since(began); took != 15*time.Second {
			t.Errorf("the connection was given up after %v", took)
		}
		wantText(t, err, "client: the connection has ended: WebSocket lost: it ended without a close frame; it could not be resumed: WebSockets: 503")
		if m := happened.next(t); !strings.HasPrefix(m, "reconnecting: WebSocket lost") {
			t.Error(m)
		}
		<-c.Done()
		check(t, c.Close())
	})
}

// A server that has forgotten the connection says so at once.
func TestResumeRefused(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusConflict, http.StatusNoContent, http.StatusUnauthorized} {
		bubble(t, func(t *testing.T, s *stub) {
			stateful(s)
			var happened course
			opts := happened.options()
			opts.Stateful, opts.Reconnect = true, client.Delays(0)
			c := s.mustDial(opts)
			k := <-s.sockets
			known, began := s.mux, time.Now()
			mux := s.routes()
			mux.HandleFunc("GET /hub", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, r *http.Request) {
				s.set(func(s *stub) { s.mux = known })
				known.ServeHTTP(w, r)
			})
			k.close(1000) // not even this is the end
			equal(t, happened.take(t, 2), []string{"reconnecting: none", "reconnected"})
			equal(t, time.Since(began), 0)
			go (<-s.sockets).serve(func(string) {}) // ends with c
			check(t, c.Close())
		})
	}
}

// Close while the transport is sought does not wait for it.
func TestCloseWhileResuming(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		var happened course
		opts := happened.options()
		opts.Stateful = true
		c := s.mustDial(opts)
		k := <-s.sockets
		mux := s.routes()
		mux.HandleFunc("GET /hub", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		k.end()
		synctest.Wait()
		began := time.Now()
		check(t, c.Close())
		equal(t, time.Since(began), 0)
		equal(t, happened.next(t), "closed: none")
	})
}

// Above the buffer's size calls wait for an Ack, as long as their ctx lasts;
// Acks, cancels and pings do not wait.
func TestFullBuffer(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		c := s.mustDial(&client.Options{Stateful: true, StatefulBuffer: 200})
		k := <-s.sockets
		k.want(pingText)
		ctx, cancel := context.WithCancel(t.Context())
		stream := make(chan error, 1)
		go func() { // ends with ctx
			_, err := all(forever.Open(ctx, c, hubwire.None{}))
			stream <- err
		}()
		k.want(`{"type":4,"invocationId":"1","target":"Forever","arguments":[]}`)
		long := hubwire.Command[string]("Long")
		check(t, long.Send(t.Context(), c, strings.Repeat("x", 200)))
		k.read()
		waited := make(chan error, 2)
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		go func() { waited <- long.Send(late, c, "late") }() // ends with late
		equal(t, <-waited, context.DeadlineExceeded)
		go func() { waited <- long.Send(t.Context(), c, "in time") }() // ends with the Ack
		synctest.Wait()
		cancel()
		equal(t, <-stream, context.Canceled)
		k.want(`{"type":5,"invocationId":"1"}`)
		k.write(event("x"))
		k.want(`{"type":8,"sequenceId":1}`)
		k.write(`{"type":8,"sequenceId":2}`)
		check(t, <-waited)
		k.want(`{"type":1,"target":"Long","arguments":["in time"]}`)
		go k.serve(func(string) {}) // ends with c
		check(t, c.Close())
	})
}

// A server that acknowledges new messages alone would never speak again where
// its Ack was lost with the transport and the buffer is full: after a while one
// message more is sent.
func TestFullBufferAfterALostAck(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		stateful(s)
		c := s.mustDial(&client.Options{Stateful: true, StatefulBuffer: 100})
		k := <-s.sockets
		k.want(pingText)
		long := hubwire.Command[string]("Long")
		check(t, long.Send(t.Context(), c, strings.Repeat("x", 200)))
		first := k.read()
		s.set(func(s *stub) { s.raw = true })
		k.end()
		k = <-s.sockets
		k.want(`{"type":9,"sequenceId":1}`)
		k.want(first)
		k.write(`{"type":9,"sequenceId":1}`)
		waited := make(chan error, 2)
		for range 2 {
			go func() { waited <- long.Send(t.Context(), c, "y") }() // ends with the Ack
		}
		began := time.Now()
		check(t, <-waited)
		equal(t, time.Since(began).Round(time.Millisecond), 3*time.Second)
		k.want(`{"type":1,"target":"Long","arguments":["y"]}`)
		synctest.Wait()
		equal(t, len(waited), 0)
		k.write(`{"type":8,"sequenceId":2}`)
		check(t, <-waited)
		k.want(`{"type":1,"target":"Long","arguments":["y"]}`)
		go k.serve(func(string) {}) // ends with c
		check(t, c.Close())
	})
}

// A server that did not say that it is stateful gets no Ack.
func TestNotStateful(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(&client.Options{Stateful: true})
		k := <-s.sockets
		k.want(pingText)
		k.write(event("a"), event("b"), pingText, `{"type":9,"sequenceId":0}`)
		k.want(pingText)
		equal(t, c.State(), client.Connected)
		go k.serve(func(string) {}) // ends with c
		check(t, c.Close())
	})
}
