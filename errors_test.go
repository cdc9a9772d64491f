package hubwire_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

func TestError(t *testing.T) {
	err := hubwire.Errorf(hubwire.CodeNotFound, "no %s", "cake")
	if err.Error() != "no cake" || err.Code != hubwire.CodeNotFound {
		t.Errorf("Errorf = %#v", err)
	}
	for code, want := range map[hubwire.Code]string{0: "ok", hubwire.CodeCanceled: "canceled", hubwire.CodeUnauthenticated: "unauthenticated", 99: "code 99"} {
		if got := code.String(); got != want {
			t.Errorf("Code(%d) = %q, want %q", code, got, want)
		}
	}
}

// Code, message and data of an *Error reach the caller, also where it is
// wrapped; of other errors nothing does, unless DetailedErrors is set.
func TestErrorsReachTheCaller(t *testing.T) {
	const Fail hubwire.Command[int] = "Fail"
	for _, detailed := range []bool{false, true} {
		hub := newHub(&hubwire.Options{DetailedErrors: detailed}, Fail.With(func(_ context.Context, _ *hubwire.Conn, how int) error {
			err := &hubwire.Error{Code: hubwire.CodeAborted, Message: "public", Data: map[string]any{"n": 7}}
			switch how {
			case 0:
				return err
			case 1:
				return fmt.Errorf("secret: %w", err)
			}
			return errors.New("secret")
		}))
		c := hubtest.New(t, hub).Dial(t)
		for how := range 2 {
			e, ok := errors.AsType[*hubwire.Error](Fail.Call(t.Context(), c, how))
			if !ok || e.Code != hubwire.CodeAborted || e.Message != "public" || fmt.Sprint(e.Data) != "map[n:7]" {
				t.Errorf("%d: %+v", how, e)
			}
		}
		want := "Fail: failed"
		if detailed {
			want += ": secret"
		}
		if err := Fail.Call(t.Context(), c, 2); err == nil || err.Error() != want {
			t.Errorf("another error: %v, want %s", err, want)
		}
	}
}

// A context that TraceIn gives may end by itself; the handler sees it.
func TestTraceContextEnds(t *testing.T) {
	hub := newHub(&hubwire.Options{TraceIn: func(ctx context.Context, _ map[string]string) context.Context {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		_ = cancel // ends with the timeout
		return ctx
	}}, hubwire.Method[hubwire.None, string]("Wait").With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) (string, error) {
		<-ctx.Done()
		return fmt.Sprint(ctx.Err()), nil
	}))
	l := open(t, hub, rawA, -1)
	in := doCall("x")
	in.Name, in.Args, in.Headers = "Wait", list(), map[string]string{"traceparent": "x"}
	r := l.start(in)
	<-r.done
	if r.v != "context deadline exceeded" {
		t.Errorf("Wait = %v, %v", r.v, r.err)
	}
}

// Defaults, rules, and sends to nobody.
func TestOptions(t *testing.T) {
	o := hubwire.New(nil).Options()
	if o.ParallelCalls != 1 || o.StreamBuffer != 10 || o.Queue.Messages != 10_000 || o.Queue.Bytes != 1<<20 || o.Queue.Stall != 10*time.Second || o.Queue.Full != hubwire.Disconnect || o.Logger == nil {
		t.Errorf("defaults: %+v", o)
	}
	wantPanic(t, func() { hubwire.New(&hubwire.Options{Backplane: hubtest.NewBackplane().Node()}) }, "Name is empty; a hub with a Backplane needs one")
	wantPanic(t, func() {
		hubwire.New(&hubwire.Options{Queue: hubwire.Queue{Messages: -1, Bytes: -1, Stall: -1, Full: 9}, StreamBuffer: -1, DrainWindow: -1})
	}, "Queue.Messages is -1", "Queue.Bytes is -1", "Queue.Stall is -1ns", "Queue.Full is 9", "StreamBuffer is -1", "DrainWindow is -1ns")

	// Sends before anybody is there, and to nobody, are no errors.
	hub := hubwire.New(nil)
	for _, to := range []hubwire.Target{hub.All(), hub.Group("x"), hub.Group(), hub.User("x"), hub.User(), hub.Conn("x"), hub.Conns("x"), hub.Conns(), hubwire.Latest(hub.All(), "k")} {
		check(t, Said.Send(t.Context(), to, "x"))
		if to.Hub() != hub {
			t.Errorf("%T: Hub", to)
		}
	}
	check(t, hub.Join(t.Context(), "nobody", "x"))
	check(t, hub.Leave(t.Context(), "nobody", "x"))
	check(t, hub.Shutdown(t.Context()))
	if err := Said.Send(t.Context(), hub.All(), "x"); !errors.Is(err, hubwire.ErrClosed) {
		t.Errorf("after Shutdown: %v", err)
	}
}
