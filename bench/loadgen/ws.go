package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

const (
	opCont  = 0
	opText  = 1
	opBin   = 2
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// appendFrame appends one masked client frame. The mask is fixed and not zero:
// the server must do the work of unmasking, and the generator pays little.
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, key[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	b := dst[at:]
	k64 := uint64(binary.LittleEndian.Uint32(key[:]))
	k64 |= k64 << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^k64)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
	return dst
}

// frame is the next whole server frame in b, and how long it was; n is 0 while
// the frame is not complete.
func frame(b []byte) (op byte, fin bool, payload []byte, n int, err error) {
	if len(b) < 2 {
		return
	}
	op, fin = b[0]&15, b[0]&0x80 != 0
	if b[0]&0x70 != 0 || b[1]&0x80 != 0 {
		return 0, false, nil, 0, errors.New("reserved bit or masked frame from the server")
	}
	head, size := 2, int(b[1])
	switch size {
	case 126:
		if len(b) < 4 {
			return
		}
		head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if len(b) < 10 {
			return
		}
		head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	if size < 0 || size > 1<<30 {
		return 0, false, nil, 0, errors.New("the server's frame is too long")
	}
	if len(b) < head+size {
		return
	}
	return op, fin, b[head : head+size], head + size, nil
}

// A conn is one client connection. It lives in blocking mode until its protocol
// is ready, and in one worker's epoll set after that.
type conn struct {
	fd   int
	id   int
	part []byte // bytes of an incomplete frame
	frag []byte // payload of an incomplete fragmented message
	out  []byte // bytes the kernel would not take yet
	dead bool
	seq  int   // the protocol's message counter
	last int64 // the newest stamp that came
}

func dial(addr *net.TCPAddr, src net.IP, rcvbuf int) (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	fail := func(err error) (int, error) { syscall.Close(fd); return -1, err }
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if rcvbuf > 0 {
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, rcvbuf)
	}
	tv := syscall.Timeval{Sec: 15}
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &tv)
	if src != nil {
		const ipBindAddressNoPort = 24
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, ipBindAddressNoPort, 1)
		sa := &syscall.SockaddrInet4{}
		copy(sa.Addr[:], src.To4())
		if err := syscall.Bind(fd, sa); err != nil {
			return fail(fmt.Errorf("bind: %w", err))
		}
	}
	sa := &syscall.SockaddrInet4{Port: addr.Port}
	copy(sa.Addr[:], addr.IP.To4())
	for {
		err = syscall.Connect(fd, sa)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return fail(fmt.Errorf("connect: %w", err))
	}
	return fd, nil
}

type fdReader int

func (f fdReader) Read(p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(f), p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// upgrade makes the WebSocket handshake on a connected, blocking socket, and
// returns the bytes that came after it.
func upgrade(fd int, host, target string) ([]byte, error) {
	var k [16]byte
	rand.Read(k[:])
	key := base64.StdEncoding.EncodeToString(k[:])
	req := "GET " + target + " HTTP/1.1\r\nHost: " + host +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key +
		"\r\nOrigin: http://" + host + "\r\n\r\n"
	if err := writeAll(fd, []byte(req)); err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(fdReader(fd), 4096)
	resp, err := http.ReadResponse(br, &http.Request{Method: "GET"})
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if resp.StatusCode != 101 {
		return nil, fmt.Errorf("upgrade: %s", resp.Status)
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	if got := strings.TrimSpace(resp.Header.Get("Sec-Websocket-Accept")); got != base64.StdEncoding.EncodeToString(sum[:]) {
		return nil, errors.New("upgrade: wrong Sec-WebSocket-Accept")
	}
	rest, _ := br.Peek(br.Buffered())
	return bytes.Clone(rest), nil
}
