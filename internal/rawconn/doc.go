// Package rawconn takes connections over from net/http and writes to them
// without its buffers, and on Unix without waiting.
//
// A connection that net/http serves costs 9 kB more than one that was taken
// over: its goroutine, its buffers and the Request. [Take] is what every taking
// over has in common; the functions beside it are the descriptor's tricks. A
// [Conn] is a response that lasts: it is written to, and its reader only notices
// that the peer has left.
//
// On Unix, plain TCP and Unix sockets are read and written by their descriptor
// (the direct path). Everything else, TLS above all, takes the ordinary path over
// [net.Conn]: it is correct in the same way, but TryWrite writes nothing.
package rawconn
