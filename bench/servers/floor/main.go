// Floor is what the kernel asks for: the lower bound that the other servers are
// compared with. One thread waits with epoll, reads, and writes with a bare
// write(2); there is no lock, no queue, no protocol but the frames, and nothing
// is checked. A text message comes back as it is, all answers to one read in
// one write; one that starts with 'B' goes to every connection, one write for
// each. It is no server to use: a client that does not read stops it.
package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"flag"
	"log"
	"net"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/hubwire/hubwire/bench/internal/control"
)

type conn struct {
	fd   int
	slot int    // place in server.open; -1 before the upgrade
	part []byte // an incomplete request or frame
}

type server struct {
	epfd  int
	conns map[int32]*conn
	open  []*conn
	buf   []byte
	out   []byte
	frame []byte
}

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	flag.Parse()
	control.Serve(*ctl)
	ln, err := net.Listen("tcp4", *addr)
	if err != nil {
		log.Fatal(err)
	}
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		log.Fatal(err)
	}
	runtime.LockOSThread()
	s := &server{conns: map[int32]*conn{}, buf: make([]byte, 64<<10)}
	err = s.serve(int(f.Fd()))
	runtime.KeepAlive(f) // the collector would close it
	log.Fatal(err)
}

func (s *server) serve(lfd int) (err error) {
	if err = syscall.SetNonblock(lfd, true); err != nil {
		return err
	}
	if s.epfd, err = syscall.EpollCreate1(0); err != nil {
		return err
	}
	if err = s.watch(lfd); err != nil {
		return err
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		n, err := syscall.EpollWait(s.epfd, events, -1)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, ev := range events[:max(n, 0)] {
			if int(ev.Fd) == lfd {
				s.accept(lfd)
			} else if c := s.conns[ev.Fd]; c != nil {
				s.readable(c)
			}
		}
	}
}

func (s *server) watch(fd int) error {
	return syscall.EpollCtl(s.epfd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)})
}

func (s *server) accept(lfd int) {
	for {
		fd, _, err := syscall.Accept4(lfd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
		s.conns[int32(fd)] = &conn{fd: fd, slot: -1}
		s.watch(fd)
	}
}

func (s *server) end(c *conn) {
	syscall.Close(c.fd)
	delete(s.conns, int32(c.fd))
	if c.slot >= 0 {
		last := s.open[len(s.open)-1]
		s.open[c.slot], last.slot = last, c.slot
		s.open = s.open[:len(s.open)-1]
	}
}

func (s *server) readable(c *conn) {
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&s.buf[0])), uintptr(len(s.buf)))
	if e == syscall.EAGAIN || e == syscall.EINTR {
		return
	}
	if e != 0 || n == 0 {
		s.end(c)
		return
	}
	b := s.buf[:n]
	if len(c.part) > 0 {
		c.part = append(c.part, b...)
		b = c.part
	}
	if c.slot < 0 {
		b = s.upgrade(c, b)
	}
	if c.slot >= 0 {
		b = s.frames(c, b)
	}
	if len(b) == 0 {
		c.part = nil
	} else {
		c.part = append([]byte(nil), b...)
	}
}

func (s *server) upgrade(c *conn, b []byte) (rest []byte) {
	head, rest, whole := bytes.Cut(b, []byte("\r\n\r\n"))
	_, key, ok := bytes.Cut(head, []byte("\r\nSec-WebSocket-Key: "))
	if !whole || !ok {
		return b
	}
	key, _, _ = bytes.Cut(key, []byte("\r\n"))
	sum := sha1.Sum(append(bytes.Clone(key), "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	s.write(c, []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
		base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n"))
	c.slot = len(s.open)
	s.open = append(s.open, c)
	return rest
}

// frames answers the whole frames in b and returns what is left of it.
func (s *server) frames(c *conn, b []byte) []byte {
	s.out = s.out[:0]
	for len(b) >= 6 {
		head, n := 2, int(b[1]&0x7f)
		if n == 126 {
			if len(b) < 8 {
				break
			}
			head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
		}
		if n == 127 || b[0]&0x0f == 8 { // nobody sends more than 64 KiB here
			s.end(c)
			return nil
		}
		if len(b) < head+4+n {
			break
		}
		p := b[head+4 : head+4+n]
		unmask(p, binary.LittleEndian.Uint32(b[head:]))
		b = b[head+4+n:]
		if n > 0 && p[0] == 'B' {
			s.frame = appendFrame(s.frame[:0], p)
			for _, to := range s.open {
				s.write(to, s.frame)
			}
		} else {
			s.out = appendFrame(s.out, p)
		}
	}
	if len(s.out) > 0 {
		s.write(c, s.out)
	}
	return b
}

// write writes all of b, and waits for a client that does not read.
func (s *server) write(c *conn, b []byte) {
	for len(b) > 0 {
		n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		switch {
		case e == syscall.EAGAIN:
			p := struct {
				fd              int32
				events, revents int16
			}{int32(c.fd), 4, 0} // POLLOUT
			syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, ^uintptr(0))
		case e != 0:
			return // its end is read soon
		default:
			b = b[n:]
		}
	}
}

func appendFrame(dst, p []byte) []byte {
	if n := len(p); n < 126 {
		dst = append(dst, 0x81, byte(n))
	} else {
		dst = append(dst, 0x81, 126, byte(n>>8), byte(n))
	}
	return append(dst, p...)
}

func unmask(b []byte, key uint32) {
	k := uint64(key) | uint64(key)<<32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}
