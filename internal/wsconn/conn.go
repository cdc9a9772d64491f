// Package wsconn is the server's side of WebSockets (RFC 6455).
//
// It takes a connection over from net/http, reads frames and hands their
// payload on as it comes, and writes frames that were built elsewhere. It holds
// no message, no queue and no goroutine of its own: a connection that waits for
// input costs one parked goroutine with a small stack and no buffer. Whoever
// uses it owns what waits to be written, and the time.
//
// On Unix, plain TCP and Unix sockets are read and written by their descriptor
// (the direct path). Everything else, TLS above all, takes the ordinary path
// over [net.Conn]: it is correct in the same way, but a reader that waits holds
// a buffer of 512 bytes, and TryWrite writes nothing.
//
// Extensions are not offered, so no frame is compressed.
package wsconn

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// CloseTimeout is how long a connection waits for the end of the closing
// handshake: for the peer's close frame after ours, or until our answer to the
// peer's close frame has left. Then it is reset.
const CloseTimeout = 5 * time.Second

// linger is how long the reader then waits for the peer to close its end. RFC
// 6455, section 7.1.1, asks for it: a socket that is closed while input comes
// is reset, and the peer might lose what it has not read yet, our close frame
// included.
const linger = time.Second

// A Handler gets what one connection brings. All its methods are called by the
// goroutine that runs [Conn.Serve], one at a time, and may use the Conn.
type Handler interface {
	// Data is called with payload of text and binary messages as it comes,
	// unmasked: at most one frame's, usually less. last tells that it ends the
	// message; p may then be empty. What came of a text message is valid UTF-8,
	// but p may end inside a character. p is valid during the call. An error
	// ends Serve with it.
	Data(p []byte, binary, last bool) error
	// Control writes one whole control frame, a pong or the close frame,
	// between the frames that are under way. It does not wait for the peer:
	// what cannot be written now is copied and written later. frame is valid
	// during the call. Nothing is to be written behind a close frame.
	Control(frame []byte)
	// Idle is called when all that one read brought has been delivered, while
	// no closing has begun, and before the answer to a close frame: the place to
	// write the answers to what came, at once. An error ends Serve with it.
	Idle() error
}

// A Listener is a Handler that wants to know that the peer lives: Pong is called
// for each pong.
type Listener interface {
	Handler
	Pong()
}

// A Conn is the server's end of one WebSocket.
//
// One goroutine runs Serve, which must be called exactly once (but for Pass),
// after an Abort too: it alone closes the socket. TryWrite, Write, CloseSent and Abort may be
// called by any goroutine at any time; bytes written by TryWrite and Write at
// the same time would mix, so those two take turns. The bytes of all writes
// together are a sequence of whole, unmasked frames; where one write ends does
// not matter.
type Conn struct {
	mu     sync.Mutex // guards the following, until the blank line
	fd     int32      // the descriptor while it may be written to; -1: ordinary path, aborted or closed
	state  atomic.Uint32
	out    outgoing
	owed   *[]byte // the pong to the newest ping, while too many of them have not left
	pongs  uint8   // pongs given to Control that have not left
	behind bool    // the kernel has not taken all that was to be written

	direct bool          // reads and writes go by the descriptor
	owner  atomic.Uint32 // counts the calls of Pass
	nc     net.Conn

	buf   *buffer  // the reader's alone, as the rest: where the last read went
	early *[]byte  // what came together with the request; nil: nothing
	in    incoming // where the reader is
	n     int32    // what the last direct read brought: bytes, 0 for the end, or -errno
}

// Bits of Conn.state. They are set under mu, never cleared, and may be read
// without it.
const (
	closing   uint32 = 1 << iota // our close frame is written or waits to be; input is discarded
	sent                         // our close frame has left whole
	finished                     // what still comes from the peer is not looked at: its close frame came, or nonsense
	lingering                    // sent and finished; our output has ended
	timedOut                     // the closing handshake took too long
	aborted                      // Abort was called
	closed                       // the socket is closed
)

// A CloseError says why Serve closed the connection: the peer broke a rule of
// RFC 6455. The close frame with Code was given to the Handler.
type CloseError struct {
	Code   int    // 1002, 1007 or 1008
	Reason string // for the log; the peer is not told
}

func (e *CloseError) Error() string {
	return "wsconn: closed with " + strconv.Itoa(e.Code) + ": " + e.Reason
}

// Close codes (RFC 6455, section 7.4.1).
const (
	CloseNormal      = 1000
	CloseGoingAway   = 1001
	CloseProtocol    = 1002
	CloseInvalidData = 1007
	ClosePolicy      = 1008
	CloseTooBig      = 1009
	CloseInternal    = 1011
)

// begin makes the zero Conn one of nc.
func (c *Conn) begin(nc net.Conn, cfg *Config) {
	c.nc, c.fd = nc, -1
	c.in.maxFragments = cfg.maxFragments()
	if !cfg.ordinary {
		if fd, ok := rawconn.Descriptor(nc); ok {
			c.fd, c.direct = int32(fd), true
		}
	}
}

// set adds bits to the state. The caller holds mu.
func (c *Conn) setLocked(bits uint32) { c.state.Store(c.state.Load() | bits) }

func (c *Conn) has(bits uint32) bool { return c.state.Load()&bits != 0 }
