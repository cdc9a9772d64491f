package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr/client"
)

// bubble runs a test in a bubble, with a server.
func bubble(t *testing.T, run func(t *testing.T, s *stub)) {
	synctest.Test(t, func(t *testing.T) {
		s := newStub(t)
		run(t, s)
		s.stop()
		synctest.Wait()
	})
}

// serve reads what the client sends, and closes when it does.
func (k *socket) serve(each func(line string)) {
	for {
		line := k.read()
		switch line {
		case "":
			k.end()
			return
		case closeText:
			k.write(closeText)
		default:
			each(line)
		}
	}
}

// The client pings at once, and then when it has been silent for KeepAlive.
func TestKeepAlive(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(nil)
		k := <-s.sockets
		began := time.Now()
		var pings []time.Duration
		go k.serve(func(line string) { // ends with c
			if line == pingText {
				pings = append(pings, time.Since(began))
				k.write(pingText)
			}
		})
		time.Sleep(20 * time.Second)
		check(t, nothing.Send(t.Context(), c, hubwire.None{}))
		time.Sleep(40 * time.Second)
		check(t, c.Close())
		equal(t, pings, []time.Duration{0, 15 * time.Second, 35 * time.Second, 50 * time.Second})
	})
}

// A server that is silent for ServerTimeout is lost, and calls with it.
func TestServerTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		var happened course
		c := s.mustDial(happened.options())
		k := <-s.sockets
		go k.serve(func(string) {}) // ends with c
		time.Sleep(29 * time.Second)
		k.write(pingText)
		began := time.Now()
		err := nothing.Call(t.Context(), c, hubwire.None{})
		equal(t, errorText(err), "client: the connection has ended: server timeout: nothing came from the server for 30s")
		equal(t, time.Since(began), 30*time.Second)
		equal(t, happened.next(t), "closed: server timeout: nothing came from the server for 30s")
		check(t, c.Close())
	})
}

func TestNoTimes(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(&client.Options{ServerTimeout: -1, KeepAlive: -1})
		k := <-s.sockets
		n := 0
		go k.serve(func(string) { n++ }) // ends with c
		time.Sleep(time.Hour)
		equal(t, c.State(), client.Connected)
		equal(t, n, 0)
		check(t, c.Close())
	})
}

func TestHandshakeTimeout(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		s.set(func(s *stub) { s.raw = true })
		began := time.Now()
		go func() { (<-s.sockets).drain() }() // ends with the socket
		_, err := s.dial(t.Context(), nil)
		equal(t, errorText(err), "client: handshake over WebSockets: no answer in 15s")
		equal(t, time.Since(began), 15*time.Second)
	})
}

// A proxy that holds back events lets the GET begin, and nothing through.
func TestEventsHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		mux := s.routes()
		mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, defaultOffer) })
		mux.HandleFunc("POST /hub", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("GET /hub", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		_, err := s.dial(t.Context(), &client.Options{Transports: client.ServerSentEvents})
		equal(t, errorText(err), "client: handshake over ServerSentEvents: no answer in 15s: is there a proxy that holds back Server-Sent Events?")
	})
}

// A server that does not answer the leave is left after five seconds.
func TestCloseDoesNotHang(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(nil)
		k := <-s.sockets // nobody reads there: not even the ping is taken
		began := time.Now()
		check(t, c.Close())
		equal(t, time.Since(began), 5*time.Second)
		k.end()
	})
}

// A handler that does not return is named, not waited for.
func TestCloseWithHangingHandler(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		hang := make(chan struct{})
		c := s.mustDial(&client.Options{Handlers: []hubwire.ClientHandler{
			receive.With(func(context.Context, string) error { <-hang; return nil }),
		}})
		k := <-s.sockets
		go k.serve(func(string) {}) // ends with c
		k.write(`{"type":1,"target":"Receive","arguments":["x"]}`)
		synctest.Wait()
		began := time.Now()
		equal(t, errorText(c.Close()), "client: close: a handler, a callback or an upload is still running after 5s")
		equal(t, time.Since(began), 5*time.Second)
		close(hang)
		synctest.Wait()
		check(t, c.Close())
	})
}

// OnClosed may call Close.
func TestCloseInOnClosed(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		closed := make(chan error, 1)
		c := s.mustDial(&client.Options{OnClosed: func(c *client.Conn, _ error) { closed <- c.Close() }})
		k := <-s.sockets
		k.close(1000)
		check(t, <-closed)
		check(t, c.Close())
	})
}

// The delays between attempts are the policy's; the course can be followed.
func TestReconnectDelays(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		var happened course
		opts := happened.options()
		delays := []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
		opts.Reconnect = func(r client.Retry) (time.Duration, bool) {
			if r.Attempts == len(delays) {
				return 0, false
			}
			return delays[r.Attempts], true
		}
		var attempts []time.Duration
		c := s.mustDial(opts)
		k := <-s.sockets
		began := time.Now()
		mux := s.routes()
		mux.HandleFunc("POST /hub/negotiate", func(w http.ResponseWriter, _ *http.Request) {
			attempts = append(attempts, time.Since(began))
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		k.close(1012)
		<-c.Done()
		equal(t, attempts, []time.Duration{0, 2 * time.Second, 12 * time.Second, 42 * time.Second})
		equal(t, happened.take(t, 2), []string{
			"reconnecting: WebSocket closed with status code: 1012 (no reason given)",
			"closed: no connection after 4 attempts in 42s: negotiate: 503 Service Unavailable",
		})
		check(t, c.Close())
	})
}

// The table of section 9.3: how the server ends a connection, and what the
// client makes of it.
func TestCloseMatrix(t *testing.T) {
	for _, c := range []struct {
		name      string
		end       func(k *socket)
		err       string
		reconnect bool
	}{
		{"1000", func(k *socket) { k.close(1000) }, "none", true},
		{"1005", func(k *socket) { k.close(1005) }, "WebSocket closed with status code: 1005 (no reason given)", true},
		{"1011", func(k *socket) { k.close(1011) }, "WebSocket closed with status code: 1011 (no reason given)", true},
		{"drop", func(k *socket) { k.end() }, "WebSocket lost: it ended without a close frame", true},
		{"Close", func(k *socket) { k.write(closeText) }, "none", false},
		{"Close with error", func(k *socket) { k.write(`{"type":7,"error":"boom"}`) }, "the server closed the connection: boom", false},
		{"Close, reconnect", func(k *socket) { k.write(`{"type":7,"allowReconnect":true}`) }, "none", true},
		{"Close with error, reconnect", func(k *socket) { k.write(`{"type":7,"error":"boom","allowReconnect":true}`) }, "the server closed the connection: boom", true},
		{"half a message", func(k *socket) {
			_ = k.ws.Write(context.Background(), 1, []byte(`{"type":6}`))
			k.close(1000)
		}, "the server ended in the middle of a message", true},
		{"no JSON", func(k *socket) { k.write("x") }, "message from the server: no JSON object", true},
		{"an empty record", func(k *socket) { k.write("") }, "message from the server: no JSON object", true},
		{"no type", func(k *socket) { k.write("{}") }, "message from the server: 'type' is missing", true},
		{"an item of no stream", func(k *socket) { k.write(`{"type":2,"invocationId":"1","item":1}`) }, "message from the server: an item for a call that is no stream", true},
	} {
		for _, policy := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, policy %v", c.name, policy), func(t *testing.T) {
				bubble(t, func(t *testing.T, s *stub) {
					var happened course
					opts := happened.options()
					if policy {
						opts.Reconnect = client.Delays(0)
					}
					conn := s.mustDial(opts)
					k := <-s.sockets
					k.want(pingText)
					failed := make(chan error, 1)
					go func() { // ends with the connection
						failed <- nothing.Call(t.Context(), conn, hubwire.None{})
					}()
					k.want(`{"type":1,"invocationId":"1","target":"Nothing","arguments":[]}`)
					c.end(k)
					want := "client: the connection has ended: " + c.err
					if c.err == "none" {
						want = "client: the connection is closed"
					}
					err := <-failed
					equal(t, errorText(err), want)
					if !errors.Is(err, hubwire.ErrClosed) {
						t.Errorf("%v is not hubwire.ErrClosed", err)
					}
					if policy && c.reconnect {
						equal(t, happened.take(t, 2), []string{"reconnecting: " + c.err, "reconnected"})
						go (<-s.sockets).serve(func(string) {}) // ends with conn
						check(t, conn.Close())
					} else {
						equal(t, happened.next(t), "closed: "+c.err)
						equal(t, errorText(conn.Err()), c.err)
					}
					k.end()
				})
			})
		}
	}
}

// What the server may send without harm.
func TestStrangeMessages(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		var got box[string]
		c := s.mustDial(&client.Options{Handlers: []hubwire.ClientHandler{got.on(receive)}})
		k := <-s.sockets
		go k.serve(func(string) {}) // ends with c
		k.write(
			`{"type":99}`, `{"type":0}`, `{"type":-1,"x":[{}]}`, `{"type":4,"target":"x"}`, `{"type":5}`, pingText,
			`{"type":2,"invocationId":"77","item":null}`, `{"type":3,"invocationId":"77","result":{}}`, `{"type":3,"invocationId":"78","error":"x"}`,
			`{"type":8,"sequenceId":5}`, `{"type":9,"sequenceId":5}`,
			`{"arguments":[{"a":1}],"target":"Receive","type":1}`, // does not bind
			`{"type":1,"target":"Nobody","arguments":[]}`,
			`{"type":1,"target":"Receive","arguments":[]}`,
			`{"unknown":{"type":3},"type":1,"arguments":["\u0061"],"invocationId":null,"error":null,"target":"Receive","headers":{"a":"b"}}x`,
		)
		equal(t, got.next(t), "a")
		equal(t, c.State(), client.Connected)
		check(t, c.Close())
	})
}

// Results and items that came before the end are there; the error follows them.
func TestItemsBeforeTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(nil)
		k := <-s.sockets
		k.want(pingText)
		next := func() {
			k.want(`{"type":4,"invocationId":"1","target":"Count","arguments":[3]}`)
			k.write(`{"type":2,"invocationId":"1","item":0}`, `{"type":2,"invocationId":"1","item":1}`)
			k.end()
		}
		go next() // ends with the socket
		var got []int32
		var last error
		for v, err := range count.Open(t.Context(), c, 3) {
			if last = err; err == nil {
				<-c.Done()
				got = append(got, v)
			}
		}
		equal(t, got, []int32{0, 1})
		wantText(t, last, "client: the connection has ended: WebSocket lost")
		check(t, c.Close())
	})
}

// A loop that is behind holds the server back, and not the answers of calls.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		c := s.mustDial(&client.Options{Queue: 10_000, ServerTimeout: 20 * time.Second})
		k := <-s.sockets
		var sent atomic.Int32
		item := `{"type":2,"invocationId":"1","item":"` + strings.Repeat("x", 1000) + `"}`
		go func() { // ends with c
			k.want(pingText)
			k.want(`{"type":4,"invocationId":"1","target":"Strings","arguments":[]}`)
			for range 100 {
				k.write(item)
				sent.Add(1)
			}
			k.write(`{"type":3,"invocationId":"1"}`)
			k.serve(func(line string) {
				if strings.Contains(line, "EchoInt") {
					k.write(`{"type":3,"invocationId":"2","result":7}`)
				}
			})
		}()
		stream := hubwire.ServerStream[hubwire.None, string]("Strings")
		n := 0
		for _, err := range stream.Open(t.Context(), c, hubwire.None{}) {
			check(t, err)
			if n++; n == 1 {
				// Nothing is read, and that is no timeout.
				time.Sleep(time.Minute)
				if n := sent.Load(); n > 20 {
					t.Errorf("%d items were read ahead", n)
				}
				// Answers behind what waits are to be had.
				equal(t, result[int32](t)(echoInt.Call(t.Context(), c, 7)), 7)
				equal(t, sent.Load(), 100)
			}
		}
		equal(t, n, 100)
		check(t, c.Close())
	})
}

// A handler that is behind while a call waits for an answer that never comes:
// the connection ends before the memory does.
func TestTooSlow(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		hang := make(chan struct{})
		c := s.mustDial(&client.Options{Queue: 1000, Handlers: []hubwire.ClientHandler{
			receive.With(func(context.Context, string) error { <-hang; return nil }),
		}})
		k := <-s.sockets
		go func() { // ends with the connection
			for i := range 1000 {
				k.write(`{"type":1,"target":"Receive","arguments":["` + strconv.Itoa(i) + `"]}`)
			}
		}()
		go k.drain() // ends with the connection
		err := nothing.Call(t.Context(), c, hubwire.None{})
		<-c.Done()
		if !errors.Is(err, hubwire.ErrSlow) || !errors.Is(c.Err(), hubwire.ErrSlow) {
			t.Errorf("the call ends with %v, the connection with %v", err, c.Err())
		}
		wantText(t, err, "bytes of events and items wait for handlers and loops")
		close(hang)
		check(t, c.Close())
	})
}

// Questions do not wait for each other, up to a limit.
func TestManyQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, s *stub) {
		open := make(chan struct{})
		var running atomic.Int32
		c := s.mustDial(&client.Options{Handlers: []hubwire.ClientHandler{
			answer.With(func(context.Context, string) (*string, error) {
				running.Add(1)
				<-open
				return nil, nil
			}),
		}})
		k := <-s.sockets
		answers := 0
		go k.serve(func(line string) { // ends with c
			if strings.Contains(line, `"type":3`) {
				answers++
			}
		})
		for i := range 250 {
			k.write(fmt.Sprintf(`{"type":1,"invocationId":"s%d","target":"Answer","arguments":["x"]}`, i))
		}
		synctest.Wait()
		equal(t, running.Load(), 100)
		close(open)
		synctest.Wait()
		equal(t, answers, 250)
		check(t, c.Close())
	})
}
