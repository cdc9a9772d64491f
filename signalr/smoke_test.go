package signalr_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hubwire/hubwire"
)

const (
	echo hubwire.Method[string, string] = "Echo"
)

func testHub() *hubwire.Hub {
	h := hubwire.New(nil)
	h.Handle(echo.With(func(ctx context.Context, c *hubwire.Conn, s string) (string, error) { return s, nil }))
	return h
}

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, testHub(), nil)
		p := s.connect("json")
		p.call("1", "Echo", `"hi"`)
		p.want(`{"type":3,"invocationId":"1","result":"hi"}`)
		p.records(`{"type":7}␞`)
		p.want(`{"type":7}`)
		p.wantClose(1000)
	})
}
