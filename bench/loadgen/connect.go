package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
)

// connectAll makes cfg.Conns connections, ready for the load. What it returns
// beside an error is to be closed too.
func connectAll(cfg *config, p proto, u *url.URL, addr *net.TCPAddr) ([]*conn, error) {
	conns := make([]*conn, cfg.Conns)
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex // guards the following
		next  int
		first error
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		i := next
		next++
		return i, first == nil && i < cfg.Conns
	}
	for range min(cfg.Parallel, cfg.Conns) {
		wg.Go(func() { // ends with the last connection, or the first error
			for i, ok := take(); ok; i, ok = take() {
				c, err := connectOne(cfg, p, u, addr, i)
				if err != nil {
					mu.Lock()
					if first == nil {
						first = fmt.Errorf("connection %d: %w", i, err)
					}
					mu.Unlock()
					return
				}
				conns[i] = c
			}
		})
	}
	wg.Wait()
	return conns, first
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		if c != nil && !c.dead {
			syscall.Close(c.fd)
		}
	}
}

// connectOne makes one connection with everything that comes before the load:
// negotiate, the WebSocket's and the protocol's handshake.
func connectOne(cfg *config, p proto, u *url.URL, addr *net.TCPAddr, i int) (_ *conn, err error) {
	var src net.IP
	if cfg.SrcIPs > 0 {
		src = net.IPv4(127, 0, 0, byte(2+i%cfg.SrcIPs))
	}
	post := func(target string) ([]byte, error) { return postOnce(addr, src, u.Host, target) }
	target, err := p.target(u, post)
	if err != nil {
		return nil, err
	}
	fd, err := dial(addr, src, cfg.RcvBuf)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			syscall.Close(fd)
		}
	}()
	c := &conn{fd: fd, id: i}
	in, err := upgrade(fd, u.Host, target)
	if err != nil {
		return nil, err
	}
	out, ready, err := p.hello(c, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := writeAll(fd, out); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for !ready {
		op, fin, payload, n, err := frame(in)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			k, err := fdReader(fd).Read(buf)
			if err != nil {
				return nil, fmt.Errorf("handshake of the protocol: %w", err)
			}
			in = append(in, buf[:k]...)
			continue
		}
		in = in[n:]
		if op == opClose || !fin {
			return nil, fmt.Errorf("handshake of the protocol: frame %x %q", op, payload)
		}
		if op != opText && op != opBin {
			continue
		}
		if out, ready, err = p.hello(c, nil, payload); err != nil {
			return nil, err
		}
		if err := writeAll(fd, out); err != nil {
			return nil, err
		}
	}
	if len(in) > 0 {
		c.part = in
	}
	return c, nil
}

// postOnce posts nothing to target over a connection of its own, as every new
// client does, and returns the body of the answer.
func postOnce(addr *net.TCPAddr, src net.IP, host, target string) ([]byte, error) {
	fd, err := dial(addr, src, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	req := "POST " + target + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 0\r\n\r\n"
	if err := writeAll(fd, []byte(req)); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(fdReader(fd)), &http.Request{Method: "POST"})
	if err != nil {
		return nil, fmt.Errorf("POST %s: %w", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: %s %q", target, resp.Status, body)
	}
	return body, err
}
