package multiplex

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/hubwire/hubwire/internal/msgpack"
)

// magic begins a connection of version 1.
var magic = []byte{0x2f, 0xdf, 0x1d, 0x50}

const randomSize = 16

var errHandshake = errors.New("multiplex: handshake: the other end speaks something else, or another version")

// greeting is what this end says first.
func greeting(version int, random []byte) []byte {
	switch version {
	case 1:
		return append(bytes.Clone(magic), random...)
	case 2:
		b := msgpack.AppendArrayHeader(msgpack.AppendArrayHeader(nil, 2), 2)
		return msgpack.AppendBytes(msgpack.AppendInt(msgpack.AppendInt(b, 2), 0), random)
	}
	return nil
}

// greet reads what the other end says first: the random bytes, which decide who has
// the odd numbers. It gives what was read behind it.
func greet(r io.Reader, version int) (random, rest []byte, err error) {
	buf := make([]byte, 0, 256)
	for {
		random, used, err := readGreeting(version, buf)
		switch {
		case err != nil:
			return nil, nil, err
		case used > 0:
			return bytes.Clone(random), buf[used:], nil
		case len(buf) == cap(buf):
			return nil, nil, errHandshake
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n == 0 && err != nil {
			return nil, nil, fmt.Errorf("multiplex: handshake: %w", err)
		}
	}
}

func readGreeting(version int, b []byte) (random []byte, used int, err error) {
	if version == 1 {
		if n := min(len(b), len(magic)); !bytes.Equal(b[:n], magic[:n]) {
			return nil, 0, errHandshake
		}
		if len(b) < len(magic)+randomSize {
			return nil, 0, nil
		}
		return b[len(magic) : len(magic)+randomSize], len(magic) + randomSize, nil
	}
	var r msgpack.Reader
	r.Reset(b)
	raw, err := r.ReadRaw()
	switch {
	case errors.Is(err, msgpack.ErrShort):
		return nil, 0, nil
	case err != nil:
		return nil, 0, errHandshake
	}
	r.Reset(raw)
	if n, err := r.ReadArrayHeader(); err != nil || n < 2 {
		return nil, 0, errHandshake
	}
	if n, err := r.ReadArrayHeader(); err != nil || n != 2 {
		return nil, 0, errHandshake
	}
	major, err := r.ReadInt64()
	if err != nil || major != int64(version) {
		return nil, 0, errHandshake
	}
	if _, err := r.ReadInt64(); err != nil {
		return nil, 0, errHandshake
	}
	if random, err = r.ReadBytes(); err != nil || len(random) != randomSize {
		return nil, 0, errHandshake
	}
	return random, len(raw), nil
}

func newRandom() []byte {
	b := make([]byte, randomSize)
	_, _ = rand.Read(b) // never fails
	return b
}
