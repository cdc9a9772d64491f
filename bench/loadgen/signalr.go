package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// signalR: the JSON hub protocol.
type signalR struct{ cfg *config }

func (s signalR) target(u *url.URL, post func(string) ([]byte, error)) (string, error) {
	if !s.cfg.Negotiate {
		return u.RequestURI(), nil
	}
	n := *u
	n.Path += "/negotiate"
	q := n.Query()
	q.Set("negotiateVersion", "1")
	n.RawQuery = q.Encode()
	body, err := post(n.RequestURI())
	if err != nil {
		return "", err
	}
	var a struct{ ConnectionToken, ConnectionID, Error string }
	if err := json.Unmarshal(body, &a); err != nil || a.Error != "" {
		return "", fmt.Errorf("negotiate: %q", body)
	}
	if a.ConnectionToken == "" {
		a.ConnectionToken = a.ConnectionID
	}
	w := *u
	q = w.Query()
	q.Set("id", a.ConnectionToken)
	w.RawQuery = q.Encode()
	return w.RequestURI(), nil
}

func (s signalR) hello(c *conn, dst, msg []byte) ([]byte, bool, error) {
	return s.handshake(dst, msg, "json", opText)
}

func (s signalR) handshake(dst, msg []byte, name string, op byte) ([]byte, bool, error) {
	if msg == nil {
		return appendFrame(dst, op, []byte(`{"protocol":"`+name+`","version":1}`+"\x1e")), false, nil
	}
	first, _, ok := bytes.Cut(msg, []byte{0x1e}) // a ping may ride along: it asks for nothing
	var a struct{ Error string }
	if !ok || json.Unmarshal(first, &a) != nil || a.Error != "" {
		return dst, false, fmt.Errorf("handshake answer %q", msg)
	}
	return dst, true, nil
}

func (s signalR) echo(c *conn, dst, p []byte) []byte {
	c.seq++
	var a [256]byte
	m := append(a[:0], `{"type":1,"invocationId":"`...)
	m = strconv.AppendInt(m, int64(c.seq), 10)
	m = append(append(append(m, `","target":"`...), s.cfg.EchoTarget...), `","arguments":["`...)
	m = append(append(m, p...), "\"]}\x1e"...)
	return appendFrame(dst, opText, m)
}

func (s signalR) publish(c *conn, dst, p []byte) []byte {
	var a [256]byte
	m := append(a[:0], `{"type":1,"target":"`...)
	m = append(append(m, s.cfg.PubTarget...), `","arguments":["`...)
	m = append(append(m, p...), "\"]}\x1e"...)
	return appendFrame(dst, opText, m)
}

func (signalR) ping(dst []byte) []byte { return appendFrame(dst, opText, []byte("{\"type\":6}\x1e")) }

func (signalR) records(c *conn, dst, msg []byte, each func([]byte)) ([]byte, error) {
	for len(msg) > 0 {
		i := bytes.IndexByte(msg, 0x1e)
		if i < 0 {
			return dst, fmt.Errorf("record with no end: %q", msg)
		}
		rec := msg[:i]
		if bytes.HasPrefix(rec, []byte(`{"type":7`)) {
			return dst, fmt.Errorf("closed by the server: %s", rec)
		}
		each(rec)
		msg = msg[i+1:]
	}
	return dst, nil
}

// signalRPack: the MessagePack hub protocol.
type signalRPack struct{ signalR }

func (s signalRPack) hello(c *conn, dst, msg []byte) ([]byte, bool, error) {
	return s.handshake(dst, msg, "messagepack", opBin)
}

func packStr(dst []byte, s string) []byte {
	switch {
	case len(s) < 32:
		dst = append(dst, 0xa0|byte(len(s)))
	case len(s) < 256:
		dst = append(dst, 0xd9, byte(len(s)))
	default:
		dst = append(dst, 0xda, byte(len(s)>>8), byte(len(s)))
	}
	return append(dst, s...)
}

func (s signalRPack) invoke(dst []byte, id, target string, p []byte) []byte {
	m := append(make([]byte, 0, 128+len(p)), 0x96, 1, 0x80)
	if id == "" {
		m = append(m, 0xc0)
	} else {
		m = packStr(m, id)
	}
	m = packStr(m, target)
	m = append(m, 0x91)
	m = packStr(m, string(p))
	m = append(m, 0x90)
	f := binary.AppendUvarint(nil, uint64(len(m)))
	return appendFrame(dst, opBin, append(f, m...))
}

func (s signalRPack) echo(c *conn, dst, p []byte) []byte {
	c.seq++
	return s.invoke(dst, strconv.Itoa(c.seq), s.cfg.EchoTarget, p)
}

func (s signalRPack) publish(c *conn, dst, p []byte) []byte {
	return s.invoke(dst, "", s.cfg.PubTarget, p)
}

func (signalRPack) ping(dst []byte) []byte { return appendFrame(dst, opBin, []byte{2, 0x91, 6}) }

func (signalRPack) records(c *conn, dst, msg []byte, each func([]byte)) ([]byte, error) {
	for len(msg) > 0 {
		n, k := binary.Uvarint(msg)
		if k <= 0 || n > uint64(len(msg)-k) || n < 2 {
			return dst, fmt.Errorf("bad record length in %q", msg)
		}
		rec := msg[k : k+int(n)]
		if rec[1] == 7 {
			return dst, fmt.Errorf("closed by the server: %q", rec)
		}
		each(rec)
		msg = msg[k+int(n):]
	}
	return dst, nil
}
