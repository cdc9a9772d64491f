package jsonrpc_test

import (
	"net"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

// pairOf joins two connections by a pipe in memory.
func pairOf(t testing.TB, hubA *hubwire.Hub, optsA *jsonrpc.Options, hubB *hubwire.Hub, optsB *jsonrpc.Options) (a, b *jsonrpc.Conn) {
	t.Helper()
	x, y := net.Pipe()
	a, b = jsonrpc.NewConn(x, hubA, optsA), jsonrpc.NewConn(y, hubB, optsB)
	t.Cleanup(func() {
		_ = x.Close()
		_ = y.Close()
		<-a.Done()
		<-b.Done()
	})
	return a, b
}
