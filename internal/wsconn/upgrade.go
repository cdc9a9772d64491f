package wsconn

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hubwire/hubwire/internal/rawconn"
)

// A Config says how a connection is taken over. Nil and the zero value are the
// defaults.
type Config struct {
	// SendBuffer is the size of the kernel's send buffer (SO_SNDBUF) in bytes.
	// The kernel would else take up to 4 MiB for a client that does not read
	// before anybody notices. Defaults to 128 KiB; negative leaves it alone.
	SendBuffer int
	// MaxFragments is how many frames one message may have. A client that sends
	// more is closed with 1008. Fragments are not kept, so this bounds time and
	// not memory. Defaults to 65,536; negative is no limit.
	MaxFragments int
	// Protocol is the subprotocol that was chosen among those that the request
	// names; the answer carries it as Sec-WebSocket-Protocol. Empty is none.
	Protocol string

	ordinary bool // do not use the descriptor: for tests
}

func (c *Config) sendBuffer() int {
	if c.SendBuffer == 0 {
		return 128 << 10
	}
	return c.SendBuffer
}

func (c *Config) maxFragments() uint32 {
	switch n := c.MaxFragments; {
	case n == 0:
		return 1 << 16
	case n < 0 || uint64(n) > 1<<32-2:
		return 1<<32 - 1
	default:
		return uint32(n)
	}
}

// IsUpgrade reports whether r asks for a WebSocket, by the strict test of RFC
// 6455, section 4.2.1: GET over HTTP/1.1 without a body, Connection and Upgrade
// with the tokens upgrade and websocket (in any case, in lists, in several
// headers), exactly one Sec-WebSocket-Version, 13, and exactly one
// Sec-WebSocket-Key, the base64 of 16 bytes. Whatever does not pass is an
// ordinary request.
func IsUpgrade(r *http.Request) bool {
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.ContentLength != 0 {
		return false
	}
	if !hasToken(r.Header["Connection"], "upgrade") || !hasToken(r.Header["Upgrade"], "websocket") {
		return false
	}
	v := r.Header["Sec-Websocket-Version"]
	if len(v) != 1 || strings.TrimSpace(v[0]) != "13" {
		return false
	}
	_, ok := key(r)
	return ok
}

// key is the client's key, if there is one, and a good one.
func key(r *http.Request) (string, bool) {
	v := r.Header["Sec-Websocket-Key"]
	if len(v) != 1 {
		return "", false
	}
	k := strings.TrimSpace(v[0])
	var b [18]byte // what 24 characters decode to at most
	if len(k) != 24 {
		return "", false
	}
	n, err := base64.StdEncoding.Decode(b[:], []byte(k))
	return k, err == nil && n == 16
}

// hasToken reports whether one of the lists has the token, in any case.
func hasToken(lists []string, token string) bool {
	for _, l := range lists {
		for t := range strings.SplitSeq(l, ",") {
			if strings.EqualFold(strings.Trim(t, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// accept is the answer to a key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// withheld are the headers that are ours to write, or make no sense in a 101.
var withheld = map[string]bool{
	"Connection": true, "Upgrade": true, "Sec-Websocket-Accept": true,
	"Sec-Websocket-Protocol": true, "Sec-Websocket-Extensions": true,
	"Content-Length": true, "Content-Type": true, "Content-Encoding": true,
	"Transfer-Encoding": true, "Trailer": true, "Keep-Alive": true,
}

// Upgrade answers r, of which IsUpgrade is true, with 101 and takes its
// connection over. Headers set on w before, such as cookies, go with the
// answer. The caller then starts a goroutine that runs Serve, and returns from
// the HTTP handler: net/http's goroutine and buffers are free only then. Nothing
// of r may be kept.
//
// After an error that came before the connection was taken over, the request
// has been answered with the error's text; otherwise the connection is closed.
func Upgrade(w http.ResponseWriter, r *http.Request, cfg *Config) (*Conn, error) {
	c := new(Conn)
	if err := c.Upgrade(w, r, cfg); err != nil {
		return nil, err
	}
	return c, nil
}

// Upgrade is the function Upgrade, for a Conn that is a part of something else:
// it makes the zero Conn the new connection.
func (c *Conn) Upgrade(w http.ResponseWriter, r *http.Request, cfg *Config) error {
	if cfg == nil {
		cfg = &Config{}
	}
	if !IsUpgrade(r) {
		err := errors.New("wsconn: upgrade: this is not a WebSocket request")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return err
	}
	k, _ := key(r)
	head := bytes.NewBufferString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ")
	head.WriteString(accept(k))
	head.WriteString("\r\n")
	if cfg.Protocol != "" {
		head.WriteString("Sec-WebSocket-Protocol: " + cfg.Protocol + "\r\n")
	}
	w.Header().WriteSubset(head, withheld)
	head.WriteString("\r\n")

	nc, early, err := rawconn.Take(w, head.Bytes(), cfg.sendBuffer())
	if err != nil {
		err = fmt.Errorf("wsconn: upgrade: %w", err)
		if errors.Is(err, http.ErrNotSupported) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return err
	}
	c.begin(nc, cfg)
	if early != nil {
		c.early = &early
	}
	return nil
}
