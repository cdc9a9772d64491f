package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
)

// centrifuge: its bidirectional JSON protocol, newline-delimited, every client
// on one channel.
type centrifuge struct{ cfg *config }

func (centrifuge) target(u *url.URL, post func(string) ([]byte, error)) (string, error) {
	return bare{}.target(u, post)
}

func (p centrifuge) hello(c *conn, dst, msg []byte) ([]byte, bool, error) {
	if msg == nil {
		return appendFrame(dst, opText, []byte(`{"id":1,"connect":{}}`)), false, nil
	}
	for rec := range bytes.SplitSeq(msg, []byte("\n")) {
		if len(rec) == 0 {
			continue
		}
		var a struct {
			ID    int
			Error json.RawMessage
		}
		if err := json.Unmarshal(rec, &a); err != nil || a.Error != nil {
			return dst, false, fmt.Errorf("handshake answer %q", rec)
		}
		switch a.ID {
		case 1:
			c.seq = 2
			dst = appendFrame(dst, opText, []byte(`{"id":2,"subscribe":{"channel":"`+p.cfg.Channel+`"}}`))
		case 2:
			return dst, true, nil
		}
	}
	return dst, false, nil
}

func (p centrifuge) echo(c *conn, dst, pay []byte) []byte {
	c.seq++
	return appendFrame(dst, opText, fmt.Appendf(nil, `{"id":%d,"rpc":{"method":"%s","data":"%s"}}`, c.seq, p.cfg.EchoTarget, pay))
}

func (p centrifuge) publish(c *conn, dst, pay []byte) []byte {
	c.seq++
	return appendFrame(dst, opText, fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"%s","data":"%s"}}`, c.seq, p.cfg.Channel, pay))
}

func (centrifuge) ping(dst []byte) []byte { return dst }

func (centrifuge) records(c *conn, dst, msg []byte, each func([]byte)) ([]byte, error) {
	for len(msg) > 0 {
		rec := msg
		if i := bytes.IndexByte(msg, '\n'); i >= 0 {
			rec, msg = msg[:i], msg[i+1:]
		} else {
			msg = nil
		}
		if len(rec) == 2 { // {} is a ping, and wants {} back
			dst = appendFrame(dst, opText, rec)
			continue
		}
		each(rec)
	}
	return dst, nil
}

// socketIO: Socket.IO 5 over Engine.IO 4, WebSocket only, the default namespace.
type socketIO struct{ cfg *config }

func (socketIO) target(u *url.URL, _ func(string) ([]byte, error)) (string, error) {
	w := *u
	q := w.Query()
	q.Set("EIO", "4")
	q.Set("transport", "websocket")
	w.RawQuery = q.Encode()
	return w.RequestURI(), nil
}

func (socketIO) hello(c *conn, dst, msg []byte) ([]byte, bool, error) {
	switch {
	case msg == nil:
	case bytes.HasPrefix(msg, []byte("0")):
		dst = appendFrame(dst, opText, []byte("40"))
	case bytes.HasPrefix(msg, []byte("40")):
		return dst, true, nil
	case bytes.HasPrefix(msg, []byte("2")):
		dst = appendFrame(dst, opText, []byte("3"))
	default:
		return dst, false, fmt.Errorf("handshake answer %q", msg)
	}
	return dst, false, nil
}

func (p socketIO) echo(c *conn, dst, pay []byte) []byte {
	c.seq++
	return appendFrame(dst, opText, fmt.Appendf(nil, `42%d["%s","%s"]`, c.seq, p.cfg.EchoTarget, pay))
}

func (p socketIO) publish(c *conn, dst, pay []byte) []byte {
	return appendFrame(dst, opText, fmt.Appendf(nil, `42["%s","%s"]`, p.cfg.PubTarget, pay))
}

func (socketIO) ping(dst []byte) []byte { return dst }

func (socketIO) records(c *conn, dst, msg []byte, each func([]byte)) ([]byte, error) {
	if len(msg) == 1 && msg[0] == '2' {
		return appendFrame(dst, opText, []byte("3")), nil
	}
	each(msg)
	return dst, nil
}
