package autobahn

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"

	"github.com/hubwire/hubwire/internal/wsconn/cases"
)

// TestGorilla runs all cases with gorilla's reader on what the server sends:
// the raw frames are written beneath it.
func TestGorilla(t *testing.T) {
	for _, c := range append(cases.Autobahn(), cases.Hostile()...) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			gorilla(t, c)
		})
	}
}

func gorilla(t *testing.T, c cases.Case) {
	ws, _, err := websocket.DefaultDialer.DialContext(t.Context(), "ws://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	ws.SetReadDeadline(time.Now().Add(20 * time.Second))
	// Pongs come only while something is read, so all that is to come is read
	// by one loop, and the steps are sent as it goes.
	var want []cases.Frame
	next := 0
	send := func() error {
		for len(want) == 0 && next < len(c.Steps) {
			s := c.Steps[next]
			next++
			want = append(want, s.Want...)
			if _, err := ws.NetConn().Write(s.Bytes()); err != nil && c.Code == 0 {
				return err
			}
		}
		if len(want) == 0 && c.Code == 0 {
			return ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
		}
		return nil
	}
	got := func(first byte, payload string) error {
		if len(want) == 0 || want[0] != (cases.Frame{First: first, Payload: payload}) {
			return fmt.Errorf("got %#x %.100q, want %.100q", first, payload, want)
		}
		want = want[1:]
		return send()
	}
	ws.SetPongHandler(func(s string) error { return got(0x8a, s) })
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for {
		kind, p, err := ws.ReadMessage()
		if err == nil {
			err = got(0x80|byte(kind), string(p))
			if err == nil {
				continue
			}
		}
		e, ok := errors.AsType[*websocket.CloseError](err)
		code := c.Code
		if code == 0 {
			code = 1000
		}
		if !ok || e.Code != code || e.Text != "" {
			t.Fatalf("it ends with %v, want %d", err, code)
		}
		break
	}
	if len(want) > 0 {
		t.Fatalf("%.200q did not come", want)
	}
	// The server ends the connection, not this client.
	if _, err := io.Copy(io.Discard, ws.NetConn()); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the end: %v", err)
	}
}

// TestCoder is what coder's client does by itself.
func TestCoder(t *testing.T) {
	dial := func(t *testing.T) (context.Context, *coder.Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		ws, _, err := coder.Dial(ctx, "ws://"+address+"/", &coder.DialOptions{CompressionMode: coder.CompressionContextTakeover})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.CloseNow() })
		ws.SetReadLimit(-1)
		return ctx, ws
	}
	echo := func(t *testing.T, ctx context.Context, ws *coder.Conn, kind coder.MessageType, p []byte) {
		t.Helper()
		if err := ws.Write(ctx, kind, p); err != nil {
			t.Fatal(err)
		}
		k, q, err := ws.Read(ctx)
		if err != nil || k != kind || !bytes.Equal(p, q) {
			t.Fatalf("%d bytes came back as %v, %d bytes, %v", len(p), k, len(q), err)
		}
	}
	t.Run("sizes", func(t *testing.T) {
		// It offers compression; the server does not take it.
		ctx, ws := dial(t)
		for _, n := range []int{0, 1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, 1 << 20, 8 << 20} {
			p := make([]byte, n)
			rand.Read(p)
			echo(t, ctx, ws, coder.MessageBinary, p)
			echo(t, ctx, ws, coder.MessageText, bytes.Repeat([]byte("\u65e5"), n/3))
		}
		if err := ws.Close(coder.StatusNormalClosure, "done"); err != nil {
			t.Error(err)
		}
	})
	t.Run("a writer in pieces", func(t *testing.T) {
		ctx, ws := dial(t)
		w, err := ws.Writer(ctx, coder.MessageText)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for i := range 3000 {
			fmt.Fprintf(io.MultiWriter(w, &all), "piece %d \u00e9 ", i)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, p, err := ws.Read(ctx); err != nil || string(p) != all.String() {
			t.Errorf("%d bytes came back, want %d: %v", len(p), all.Len(), err)
		}
	})
	t.Run("pings beside messages", func(t *testing.T) {
		ctx, ws := dial(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 500 {
				if err := ws.Write(ctx, coder.MessageText, fmt.Append(nil, i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for range 100 {
				if err := ws.Ping(ctx); err != nil {
					t.Error(err)
					return
				}
			}
			ws.Write(ctx, coder.MessageBinary, nil) // the last one
		})
		n := 0
		for {
			kind, p, err := ws.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if kind == coder.MessageText {
				if string(p) != fmt.Sprint(n) {
					t.Fatalf("message %d is %q", n, p)
				}
				n++
			} else if wg.Wait(); n == 500 {
				break
			} else {
				ws.Write(ctx, coder.MessageBinary, nil)
			}
		}
	})
	t.Run("close codes", func(t *testing.T) {
		for _, code := range []coder.StatusCode{1000, 1001, 1003, 1008, 1011, 3000, 4999} {
			_, ws := dial(t)
			err := ws.Close(code, "reason")
			// The answer is 1000, whatever was sent.
			if err != nil && coder.CloseStatus(err) != coder.StatusNormalClosure {
				t.Errorf("close with %d: %v", code, err)
			}
		}
	})
	t.Run("bad text", func(t *testing.T) {
		ctx, ws := dial(t)
		ws.Write(ctx, coder.MessageText, []byte("\xff"))
		if _, _, err := ws.Read(ctx); coder.CloseStatus(err) != coder.StatusInvalidFramePayloadData {
			t.Errorf("it ends with %v", err)
		}
	})
	t.Run("too large for the server", func(t *testing.T) {
		ctx, ws := dial(t)
		go ws.Write(ctx, coder.MessageBinary, make([]byte, 33<<20)) // ends with the connection
		if _, _, err := ws.Read(ctx); coder.CloseStatus(err) != coder.StatusMessageTooBig {
			t.Errorf("it ends with %v", err)
		}
	})
}
