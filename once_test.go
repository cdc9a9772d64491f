package hubwire_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// openOnce opens a connection for one call.
func openOnce(t testing.TB, hub *hubwire.Hub) (*rawLink, error) {
	hub.Expose(rawA)
	l := &rawLink{proto: rawA, room: -1, wake: make(chan struct{}), closed: make(chan struct{})}
	port, err := hub.OpenOnce(t.Context(), l, "once", nil, &hubwire.Request{Wire: "raw"})
	l.port = port
	return l, err
}

// A call that comes without a connection has one as long as it runs: Connect and
// Disconnect run, nothing is sent to it, it cannot join and cannot be asked (D 9).
func TestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d diary
		var refuse error
		hub := newHub(&hubwire.Options{
			MaxConnections: 1,
			Connect:        func(_ context.Context, c *hubwire.Conn) error { d.add("connect %s", c.ID()); return refuse },
			Disconnect:     func(_ context.Context, c *hubwire.Conn, cause error) { d.add("disconnect %v", cause) },
		}, hubwire.Command[hubwire.None]("Do").With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) error {
			for _, to := range []hubwire.Target{c, c.Hub().All(), c.Hub().Conn(c.ID()), c.Hub().Conns(c.ID())} {
				check(t, Said.Send(ctx, to, "x"))
			}
			if e := (*hubwire.Error)(nil); !errors.As(c.Join(ctx, "room"), &e) || e.Code != hubwire.CodeUnimplemented {
				t.Error("it has joined a group")
			}
			if _, err := hubwire.ClientMethod[string, string]("Answer").Call(ctx, c, "?"); err == nil {
				t.Error("it was asked")
			}
			for conn := range c.Hub().Connections() {
				if conn == c {
					t.Error("it is among the connections")
				}
			}
			d.add("do")
			return nil
		}), hubwire.Command[hubwire.None]("Wait").With(func(ctx context.Context, c *hubwire.Conn, _ hubwire.None) error {
			<-ctx.Done()
			d.add("done")
			return nil
		}))
		other := hubtest.New(t, hub).Dial(t) // which takes the one place there is
		d.take()
		l, err := openOnce(t, hub)
		check(t, err)
		call := l.start(wire.Call{Name: "Do"})
		<-call.done
		l.port.End(nil)
		if got, want := d.take(), "connect once, do, disconnect <nil>"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if call.err != nil {
			t.Errorf("the call: %v", call.err)
		}
		if got := hubtest.Got(t, other, Said); len(got) != 1 {
			t.Errorf("the other connection got %v", got)
		}

		refuse = hubwire.ErrUnauthorized
		if _, err := openOnce(t, hub); !errors.Is(err, hubwire.ErrUnauthorized) {
			t.Errorf("Connect refuses: %v", err)
		}
		refuse = nil
		d.take()

		// Shutdown waits for it, and tells it when to end.
		l, err = openOnce(t, hub)
		check(t, err)
		l.start(wire.Call{Name: "Wait"})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		down := make(chan error, 1)
		go func() { down <- hub.Shutdown(ctx) }()
		synctest.Wait()
		select {
		case <-l.closed:
			t.Error("it was told to end while its call runs")
		default:
		}
		cancel()
		<-l.closed
		l.port.End(nil)
		if err := <-down; !errors.Is(err, context.Canceled) && err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if got, want := d.take(), "connect once, disconnect <nil>, done, disconnect <nil>"; got != want {
			t.Errorf("%s; want %s", got, want)
		}
		if _, err := openOnce(t, hub); !errors.Is(err, hubwire.ErrClosed) {
			t.Errorf("after Shutdown: %v", err)
		}
	})
}

// A muteProtocol is one whose clients cannot be asked.
type muteProtocol struct{ rawProtocol }

func (p *muteProtocol) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	if callID != "" {
		return dst, wire.ErrNoAnswer
	}
	return p.rawProtocol.AppendEvent(dst, name, "", args)
}

type muteFraming struct{ rawFraming }

var mute = &muteProtocol{rawProtocol{"raw.mute"}}

func (muteFraming) Protocol() wire.Protocol { return mute }

type muteLink struct{ *rawLink }

func (muteLink) Framing() wire.Framing { return muteFraming{} }

// Asking a client that has no way to answer is an error at once.
func TestAskMute(t *testing.T) { synctest.Test(t, testAskMute) }

func testAskMute(t *testing.T) {
	hub := newHub(nil)
	hub.Expose(mute, rawA)
	l := muteLink{&rawLink{room: -1, wake: make(chan struct{}), closed: make(chan struct{})}}
	port, err := hub.Open(t.Context(), l, "mute", nil, &hubwire.Request{Wire: "raw"})
	check(t, err)
	defer port.End(nil)
	check(t, Said.Send(t.Context(), port.Conn(), "x"))
	_, err = hubwire.ClientMethod[string, string]("Answer").Call(t.Context(), port.Conn(), "?")
	if e, _ := errors.AsType[*hubwire.Error](err); e == nil || e.Code != hubwire.CodeUnimplemented {
		t.Errorf("the answer is %v", err)
	}
	synctest.Wait()
	if got := l.text(); got != "Said(\"x\")\n" {
		t.Errorf("it was sent %q", got)
	}
}
