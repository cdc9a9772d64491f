package wsconn

import "net"

// Ordinary makes a Config that does not use the descriptor.
func Ordinary(cfg Config) *Config {
	cfg.ordinary = true
	return &cfg
}

// New makes a Conn of a connection that is already upgraded.
func New(nc net.Conn, cfg *Config) *Conn {
	c := new(Conn)
	c.begin(nc, cfg)
	return c
}

// Early puts bytes before what the connection brings.
func (c *Conn) Early(p []byte) { c.early = &p }

// Held reports what an idle reader holds: a read buffer, part of a control
// frame, a pong.
func (c *Conn) Held() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.buf != nil || c.in.control != nil || c.owed != nil
}

var (
	Unmask      = unmask
	ParseHeader = parseHeader
	ValidCode   = validCode
)

// Text checks text in pieces, as the reader does.
type Text = text

func (t *text) Add(p []byte) bool { return t.add(p) }
func (t *text) Whole() bool       { return t.whole() }
