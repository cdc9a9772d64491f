package grpcwire

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
)

// gather is how much waits before a Send writes itself, and keptOut the largest
// buffer that is kept for the next messages.
const (
	gather  = 16 << 10
	keptOut = 64 << 10
)

// A writer gathers frames and writes what has gathered. There are two locks:
// io is held while something is written, mu only for moments, so that a Send
// can append while an earlier write waits for the client.
type writer struct {
	mu       sync.Mutex // guards the following
	buf      []byte
	spare    []byte
	err      error      // of the last write; nothing more is taken
	closed   bool       // the handler has returned
	flushing bool       // the flusher runs
	bursts   bool       // the last buffers were large
	room     *sync.Cond // where Raw.Write waits; nil where nobody ever has

	flusher sync.WaitGroup

	io    sync.Mutex // held while something is written
	stall *time.Timer
}

// takeLocked prepares the buffer for another frame.
func (o *writer) takeLocked() error {
	switch {
	case o.err != nil:
		return o.err
	case o.closed:
		return errOver
	}
	if o.buf == nil {
		if o.bursts {
			o.buf, _ = bigOuts.Get().([]byte)
		}
		if o.buf == nil {
			o.buf = outs.Get().(*[smallOut]byte)[:0]
		}
	}
	return nil
}

// smallOut is the buffer of a stream that sends now and then; one that sends
// much grows beyond it.
const smallOut = 4 << 10

var (
	outs    = sync.Pool{New: func() any { return new([smallOut]byte) }}
	bigOuts sync.Pool // of []byte
)

func freeOut(b []byte) {
	switch {
	case cap(b) == smallOut:
		outs.Put((*[smallOut]byte)(b[:smallOut]))
	case b != nil && cap(b) <= keptOut:
		bigOuts.Put(b[:0]) // an allocation of three words for each burst, not for each message
	}
}

// restLocked gives the buffers back: nothing waits.
func (o *writer) restLocked() {
	o.bursts = cap(o.buf) > smallOut || cap(o.spare) > smallOut
	freeOut(o.buf)
	freeOut(o.spare)
	o.buf, o.spare = nil, nil
}

// Send sends one message. It may wait for a client that does not read, and has
// taken all it needs of m when it returns. Messages that follow one another
// leave together, as soon as the write before them is done.
//
// One goroutine may send while another receives.
func (s *Stream) Send(m proto.Message) error {
	if s.ctx.Err() != nil {
		return s.ended()
	}
	if err := s.commit(); err != nil {
		return err
	}
	o := &s.out
	o.mu.Lock()
	if err := o.takeLocked(); err != nil {
		o.mu.Unlock()
		return err
	}
	at := len(o.buf)
	b, err := s.form.codec.append(append(o.buf, 0, 0, 0, 0, 0), m)
	if err != nil {
		o.mu.Unlock()
		return fail(13, "The response cannot be encoded: "+err.Error())
	}
	if size := len(b) - at - 5; s.outGzip && !s.plain.Load() && size >= s.h.opts.MinCompress {
		if z := deflate(b[at+5:]); len(z) < size {
			b = append(b[:at+5], z...)
			b[at] = 1
		}
	}
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-5))
	o.buf = b
	return s.sentUnlock()
}

// SendFrames sends frames that were encoded before, as AppendFrame makes them,
// uncompressed. Their bytes are copied; the caller may share them.
func (s *Stream) SendFrames(frames []byte) error {
	if s.ctx.Err() != nil {
		return s.ended()
	}
	if err := s.commit(); err != nil {
		return err
	}
	o := &s.out
	o.mu.Lock()
	if err := o.takeLocked(); err != nil {
		o.mu.Unlock()
		return err
	}
	o.buf = append(o.buf, frames...)
	return s.sentUnlock()
}

// AppendFrame appends the prefix and the bytes of one message.
func AppendFrame(dst, message []byte) []byte {
	return append(AppendPrefix(dst, len(message)), message...)
}

// Encode appends a message in protobuf as a frame, for SendFrames.
func Encode(dst []byte, m proto.Message) ([]byte, error) {
	at := len(dst)
	b, err := protoCodec{}.append(append(dst, 0, 0, 0, 0, 0), m)
	if err != nil {
		return dst, err
	}
	binary.BigEndian.PutUint32(b[at+1:], uint32(len(b)-at-5))
	return b, nil
}

// AppendPrefix appends the prefix of a message of n bytes.
func AppendPrefix(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, 0), uint32(n))
}

// sentUnlock sees to it that what was appended is written.
func (s *Stream) sentUnlock() error {
	o := &s.out
	switch {
	case !s.m.ServerStreams: // leaves with the status
		o.mu.Unlock()
		return nil
	case len(o.buf) >= gather:
		o.mu.Unlock()
		return s.drain()
	case o.flushing:
		o.mu.Unlock()
		return nil
	case s.answers.Swap(false):
		// It answers what was just received, and nothing else is there to be
		// answered: whoever waits for it shall not wait for another goroutine.
		o.mu.Unlock()
		return s.drain()
	}
	s.flushLocked()
	o.mu.Unlock()
	return nil
}

func (s *Stream) flushLocked() {
	o := &s.out
	if o.flushing {
		return
	}
	o.flushing = true
	o.flusher.Add(1)
	go s.flush() // ends when all is written; the end of the call waits for it
}

func (s *Stream) flush() {
	o := &s.out
	defer o.flusher.Done()
	for {
		err := s.drain()
		o.mu.Lock()
		if err != nil || len(o.buf) == 0 {
			o.flushing = false
			o.restLocked()
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
	}
}

// drain writes all that has gathered, with one Write and one Flush.
func (s *Stream) drain() error {
	o := &s.out
	o.io.Lock()
	defer o.io.Unlock()
	o.mu.Lock()
	b := o.buf
	o.buf, o.spare = o.spare, nil
	err := o.err
	o.wakeLocked()
	o.mu.Unlock()
	if len(b) == 0 || err != nil {
		freeOut(b)
		return err
	}
	if err = s.write(b); err == nil {
		err = s.push()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if cap(b) <= keptOut && o.spare == nil {
		o.spare = b[:0]
	}
	if !o.flushing && len(o.buf) == 0 {
		o.restLocked() // an idle stream holds no buffer
	}
	if err != nil {
		o.err = errCanceled
		if s.ctx.Err() != nil {
			o.err = s.ended()
		}
		o.wakeLocked()
		s.cancel(o.err)
		return o.err
	}
	return nil
}

// write writes frames. It is called with o.io.
func (s *Stream) write(b []byte) error {
	if !s.form.text {
		if !s.m.ServerStreams && len(b) <= 2<<10 { // into net/http's buffer
			_, err := s.w.Write(b)
			return err
		}
		s.armStall()
		_, err := s.w.Write(b)
		s.out.stall.Stop()
		return err
	}
	t := messages.Get().(*[]byte)
	defer freeMessage(t)
	*t = base64.StdEncoding.AppendEncode((*t)[:0], b)
	s.armStall()
	_, err := s.w.Write(*t)
	s.out.stall.Stop()
	return err
}

// push flushes. It is called with o.io.
func (s *Stream) push() error {
	s.armStall()
	err := s.rc.Flush()
	s.out.stall.Stop()
	return err
}

func (s *Stream) armStall() {
	if s.out.stall == nil {
		s.out.stall = time.AfterFunc(s.h.opts.WriteTimeout, s.stuck)
		return
	}
	s.out.stall.Reset(s.h.opts.WriteTimeout)
}

// stuck cuts off a client that does not read.
func (s *Stream) stuck() {
	s.cancel(errStuck)
	s.late(func() { _ = s.rc.SetWriteDeadline(time.Unix(1, 0)) })
}

// A Raw is the way to a stream for those who have their own queue: a wire.Link.
type Raw struct{ s *Stream }

// Raw is the stream for bytes that are framed. It sends the headers.
func (s *Stream) Raw() (Raw, error) { return Raw{s}, s.commit() }

// rawRoom is how much TryWrite takes that is not written yet.
const rawRoom = 32 << 10

// TryWrite takes what it has room for, without waiting for the client.
func (r Raw) TryWrite(p []byte) (int, error) {
	s := r.s
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.takeLocked(); err != nil {
		return 0, err
	}
	n := min(len(p), max(0, rawRoom-len(o.buf)))
	if n > 0 {
		o.buf = append(o.buf, p[:n]...)
		s.flushLocked()
	}
	return n, nil
}

// Write writes all of p. It returns when p is on its way or the stream has
// failed.
func (r Raw) Write(p []byte) error {
	o := &r.s.out
	for {
		n, err := r.TryWrite(p)
		if err != nil {
			return err
		}
		if p = p[n:]; len(p) == 0 {
			return nil
		}
		o.mu.Lock()
		if o.room == nil {
			o.room = sync.NewCond(&o.mu)
		}
		for len(o.buf) >= rawRoom && o.err == nil && !o.closed {
			o.room.Wait() // for the flusher, which runs while there is something
		}
		o.mu.Unlock()
	}
}

func (o *writer) wakeLocked() {
	if o.room != nil {
		o.room.Broadcast()
	}
}

// Flush sends the headers, and what was taken.
func (r Raw) Flush() error {
	if err := r.s.drain(); err != nil {
		return err
	}
	r.s.out.io.Lock()
	defer r.s.out.io.Unlock()
	return r.s.push()
}

// Abort cuts the stream off, and a Write that waits. The client gets no status.
func (r Raw) Abort() { r.s.stuck() }

var deflaters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

func deflate(src []byte) []byte {
	var out bytes.Buffer
	z := deflaters.Get().(*gzip.Writer)
	defer deflaters.Put(z)
	z.Reset(&out)
	_, _ = z.Write(src) // to memory
	_ = z.Close()
	return out.Bytes()
}
