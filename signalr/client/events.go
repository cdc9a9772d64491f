package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// events is the transport of section 2.3: the server streams events, the client
// posts.
type events struct {
	poster
	body   io.ReadCloser
	stream eventReader
}

func (e *endpoint) openEvents(ctx, starting context.Context) (transport, error) {
	ctx, started, cancel := lasting(ctx, starting)
	act := ServerSentEvents.String()
	resp, err := e.do(ctx, request{act: act, client: e.conn.long, method: http.MethodGet, url: e.address(), accept: "text/event-stream"})
	if err == nil {
		typ, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if resp.StatusCode != http.StatusOK || typ != "text/event-stream" {
			err = fmt.Errorf("%s: the answer is %q, no event stream", act, resp.Header.Get("Content-Type"))
			_ = resp.Body.Close()
		}
	}
	if err != nil {
		cancel()
		return nil, startingError(starting, err)
	}
	if !started() {
		cancel()
		_ = resp.Body.Close()
		return nil, context.Cause(starting)
	}
	return &events{
		poster: poster{e: e, ctx: ctx, cancel: cancel, act: act, typ: "text/plain;charset=UTF-8"},
		body:   resp.Body,
		stream: eventReader{src: bufio.NewReader(resp.Body)},
	}, nil
}

func (t *events) kind() Transports { return ServerSentEvents }

func (t *events) read(p []byte) (int, error) {
	n, err := t.stream.Read(p)
	switch {
	case err == io.EOF:
		return n, errEnded
	case errors.Is(err, io.ErrUnexpectedEOF):
		return n, errors.New("event stream lost: it ended in the middle")
	case err != nil:
		return n, fmt.Errorf("event stream lost: %w", err)
	}
	return n, nil
}

// leave: the server has no DELETE for this transport.
func (t *events) leave(context.Context) {}

func (t *events) kill() {
	t.cancel()
	_ = t.body.Close()
}

// An eventReader is the data of an event stream, by the rules of the HTML
// standard, 9.2.6: the lines of one event are joined with a line feed; comments
// and other fields are passed over. It keeps nothing, however long a line is.
// Where an event begins does not matter: messages end with their separator.
type eventReader struct {
	src *bufio.Reader

	state lineState
	field []byte // of the name, what was read of it
	cr    bool   // the last byte was a carriage return
	data  bool   // the event has a data line
}

type lineState uint8

const (
	inName  lineState = iota // in the name of a field, which may be empty
	inSpace                  // behind the colon of data
	inData                   // in the value of data
	inOther                  // in anything else
)

const dataField = "data"

// Read implements io.Reader.
func (r *eventReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if n > 0 && r.src.Buffered() == 0 {
			return n, nil
		}
		c, err := r.src.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil // the error comes again
			}
			return 0, err
		}
		if r.cr && c == '\n' {
			r.cr = false
			continue
		}
		r.cr = c == '\r'
		if c == '\n' || c == '\r' {
			r.endLine()
			continue
		}
		switch r.state {
		case inName:
			if c != ':' {
				if len(r.field) <= len(dataField) {
					r.field = append(r.field, c)
				}
				continue
			}
			if string(r.field) != dataField {
				r.state = inOther
				continue
			}
			r.state = inSpace
			if r.data {
				p[n] = '\n'
				n++
			}
			r.data = true
		case inSpace:
			r.state = inData
			if c == ' ' {
				continue
			}
			p[n] = c
			n++
		case inData:
			p[n] = c
			n++
		}
	}
	return n, nil
}

func (r *eventReader) endLine() {
	if r.state == inName && len(r.field) == 0 {
		r.data = false // a blank line: the event is over
	}
	r.state, r.field = inName, r.field[:0]
}
