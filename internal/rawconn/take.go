package rawconn

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// headTimeout bounds the write of the head: a socket takes it at once, other
// connections may wait for the peer.
const headTimeout = 10 * time.Second

// Take takes the connection of a request over, writes head to it, and returns it
// with what came behind the request. The caller then starts a goroutine that
// reads, and returns from the HTTP handler: net/http's goroutine and buffers are
// free only then. Nothing of the request may be kept.
//
// sendBuffer is the size of the kernel's send buffer (SO_SNDBUF) in bytes; the
// kernel would else take up to 4 MiB for a peer that does not read before
// anybody notices. Zero or less leaves it alone.
//
// An error before the connection was taken over is http.ErrNotSupported: then
// nothing has been answered. After any other the connection is closed.
func Take(w http.ResponseWriter, head []byte, sendBuffer int) (nc net.Conn, early []byte, err error) {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("the connection cannot be taken over (a middleware whose ResponseWriter has no Unwrap or Hijack hides it): %w: %w", http.ErrNotSupported, err)
	}
	if n := rw.Reader.Buffered(); n > 0 {
		early = make([]byte, n)
		if _, err = io.ReadFull(rw.Reader, early); err != nil {
			nc.Close()
			return nil, nil, fmt.Errorf("read: %w", err)
		}
	}
	if sendBuffer > 0 {
		if s, ok := Beneath(nc).(interface{ SetWriteBuffer(int) error }); ok {
			_ = s.SetWriteBuffer(sendBuffer) // a wish: the kernel may do as it likes
		}
	}
	// The server's deadlines end here, as do those of net/http's own reader.
	_ = nc.SetDeadline(time.Time{})
	_ = nc.SetWriteDeadline(time.Now().Add(headTimeout))
	if _, err := nc.Write(head); err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("write: %w", err)
	}
	_ = nc.SetWriteDeadline(time.Time{})
	return nc, early, nil
}

// Beneath is the connection that carries nc, if nc says so (TLS does).
func Beneath(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}

// CloseBeneath closes nc, or what carries it: TLS would wait to say goodbye. With
// reset the kernel does not go on offering what the peer has not taken.
func CloseBeneath(nc net.Conn, reset bool) {
	nc = Beneath(nc)
	if t, ok := nc.(*net.TCPConn); ok && reset {
		_ = t.SetLinger(0)
	}
	nc.Close()
}
