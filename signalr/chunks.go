package signalr

import (
	"bytes"
	"strconv"

	"github.com/hubwire/hubwire/wire"
)

// A chunks puts records into chunks: their length in hex, CRLF, the bytes, CRLF
// (RFC 9112, section 7.1). On a connection that was taken over it is what an
// event stream looks like on the wire; where net/http writes the response, and
// in polls, it tells where frames begin and end, and is taken off again.
//
// As many records as there are share a chunk, up to maxJoined bytes; one is
// never split (section 0.4.1).
type chunks struct {
	hub    protocol
	events bool // each chunk is a Server-Sent Event
}

// lastChunk ends a response.
const lastChunk = "0\r\n\r\n"

var (
	eventFramings = framings{json: pinging(&chunks{jsonHub, true}, jsonHub)}
	pollFramings  = framings{json: &framed{Framing: &chunks{jsonHub, false}}, msgpack: &framed{Framing: &chunks{msgpackHub, false}}}
)

// Protocol is the hub protocol whose records these are.
func (f *chunks) Protocol() wire.Protocol { return f.hub }

// Append appends the framed records.
func (f *chunks) Append(dst []byte, recs []wire.Record) []byte {
	for len(recs) > 0 {
		n, size := joined(recs)
		if f.events {
			dst = appendEventChunk(dst, recs[:n], size)
		} else {
			dst = appendChunkHead(dst, size)
			dst = append(appendRecords(dst, recs[:n]), "\r\n"...)
		}
		recs = recs[n:]
	}
	return dst
}

func appendChunkHead(dst []byte, size int) []byte {
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}

func appendRecords(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
	}
	return dst
}

// appendEventChunk appends one event in one chunk. Hub messages of JSON have no
// line breaks; whatever has is written line by line.
func appendEventChunk(dst []byte, recs []wire.Record, size int) []byte {
	for _, r := range recs {
		if bytes.IndexByte(r.Bytes, '\n') >= 0 {
			event := appendEvent(nil, appendRecords(nil, recs))
			dst = appendChunkHead(dst, len(event))
			return append(append(dst, event...), "\r\n"...)
		}
	}
	dst = appendChunkHead(dst, len("data: ")+size+len("\r\n\r\n"))
	dst = append(dst, "data: "...)
	return append(appendRecords(dst, recs), "\r\n\r\n\r\n"...)
}

// appendEvent appends an event as ASP.NET Core writes it (section 2.3): a data
// field for each line of payload, without the CR at its end unless it is all
// there is.
func appendEvent(dst, payload []byte) []byte {
	for more := len(payload) > 0; more; {
		var line []byte
		line, payload, more = bytes.Cut(payload, []byte("\n"))
		if n := len(line); more && n > 1 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		dst = append(append(append(dst, "data: "...), line...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// A follower follows chunks as they pass, however they are cut. The zero value
// is between two chunks.
type follower struct {
	left int // bytes of the chunk's data to come
	step uint8
}

// Steps of a follower.
const (
	atSize uint8 = iota // of the first digit
	inSize
	inData
	atEnd     // the CRLF behind the data
	atLastEnd // that of the last chunk
)

// What a part of the chunks ends with.
type chunkEnd uint8

const (
	cut   chunkEnd = iota // in the middle
	whole                 // a chunk is complete
	last                  // the last chunk is
)

func (f *follower) between() bool { return f.step == atSize }

// next takes a part from the beginning of p: n bytes, of which data is a
// chunk's data.
func (f *follower) next(p []byte) (n int, data []byte, end chunkEnd) {
	for n < len(p) {
		switch c := p[n]; f.step {
		case atSize, inSize:
			n++
			switch {
			case c == '\n':
				f.step = inData
				if f.left == 0 {
					f.step = atLastEnd
				}
			case c != '\r':
				f.step = inSize
				f.left = f.left<<4 | digit(c)
			}
		case inData:
			k := min(f.left, len(p)-n)
			data = p[n : n+k]
			n += k
			if f.left -= k; f.left == 0 {
				f.step = atEnd
			}
			if f.left > 0 || n == len(p) {
				return n, data, cut
			}
		case atEnd, atLastEnd:
			n++
			if c == '\n' {
				end = whole
				if f.step == atLastEnd {
					end = last
				}
				f.step = atSize
				return n, data, end
			}
		}
	}
	return n, data, cut
}

// digit is the value of a hex digit, as strconv writes it.
func digit(c byte) int {
	if c >= 'a' {
		return int(c-'a') + 10
	}
	return int(c - '0')
}
