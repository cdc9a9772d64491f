package sse

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"
)

// ParserOptions are a parser's options. Nil is all defaults.
type ParserOptions struct {
	// MaxLine is the longest line in bytes. Defaults to 16 MiB; negative is no
	// bound.
	MaxLine int
	// MaxEvent is how many bytes of data an event may have. Defaults to 16 MiB;
	// negative is no bound.
	MaxEvent int
	// DotNet makes the parser give what .NET's SseParser gives where that differs
	// from the standard: the type, id and retry of a block without data stay for
	// the next event, an empty event line gives the type "", and an id counts from
	// its line on, although the event may never end.
	DotNet bool
	// Comment is called with each comment, without its colon. text is valid during
	// the call.
	Comment func(text []byte)
	// LastEventID is the last event id before the stream names one.
	LastEventID string
}

func (o *ParserOptions) withDefaults() ParserOptions {
	var p ParserOptions
	if o != nil {
		p = *o
	}
	for _, n := range []*int{&p.MaxLine, &p.MaxEvent} {
		switch {
		case *n == 0:
			*n = 16 << 20
		case *n < 0:
			*n = math.MaxInt
		}
	}
	return p
}

// ErrTooLong is in the error of a parser that met a line or an event beyond its
// bound.
var ErrTooLong = errors.New("too long")

// A Block is an event as it lies in the stream. Its bytes are the stream's, not
// repaired if they are no UTF-8, and valid until the parser's next call.
type Block struct {
	Type []byte // empty: none, if Set has no TypeField
	Data []byte // the data lines, joined by LF
	ID   []byte // empty: none, if Set has no IDField
	// Retry is in milliseconds, if Set has RetryField. It may be more than a
	// time.Duration holds.
	Retry int64
	Set   Fields

	parser *Parser
}

// LastEventID is the last event id at this event.
func (b Block) LastEventID() string { return b.parser.LastEventID() }

// Event is a copy of the event. What is no UTF-8 is replaced as browsers do, by
// one U+FFFD for each maximal part of a character.
func (b Block) Event() Event[string] {
	e := Event[string]{Type: DefaultType, Data: utf8Text(b.Data), Set: b.Set, LastEventID: b.LastEventID()}
	if len(b.Type) > 0 || b.parser.opts.DotNet && b.Set&TypeField != 0 {
		e.Type = b.parser.typeText(b.Type)
	}
	if b.Set&IDField != 0 {
		e.ID = e.LastEventID // the same, as an id counts from its event on
	}
	if b.Set&RetryField != 0 {
		e.Retry = millis(b.Retry)
	}
	return e
}

// A Parser parses a stream that it is fed with, in pieces cut anywhere.
//
//	p.Feed(piece)
//	for b, ok := p.Next(); ok; b, ok = p.Next() {
//		use(b)
//	}
//	if err := p.Err(); err != nil { … }
//
// It follows the standard to the letter: a line ends with CR at once (and an LF
// that follows is part of that end), an event ends with a blank line, and what
// comes after the last blank line is no event. It allocates nothing for events
// that lie in one piece with one line of data. A Parser is for one goroutine.
type Parser struct {
	opts ParserOptions
	err  error

	// The piece: what was fed and not parsed yet.
	in     []byte
	pos    int
	lf, cr int // the next of their kind at or behind pos; len(in) if there is none

	line   []byte // a line that has begun in earlier pieces
	bom    int    // how many bytes of a byte order mark have been seen; done: no more
	skipLF bool   // the last line ended in CR

	// The block under way. Its parts lie in the piece until that ends, then in
	// the buffers.
	typ, data, id          []byte
	typBuf, dataBuf, idBuf []byte
	set                    Fields
	retry                  int64
	hasData, dataOwn       bool // dataOwn: the data is in dataBuf

	last       []byte // the last event id
	lastText   string // the same as text, if lastOK
	lastOK     bool
	reconnect  int64 // the last retry; -1: none
	typeCached string
}

// done is Parser.bom when a byte order mark can no longer come.
const done = 4

// NewParser makes a parser.
func NewParser(opts *ParserOptions) *Parser {
	p := &Parser{opts: opts.withDefaults(), reconnect: -1}
	p.last = append(p.last, p.opts.LastEventID...)
	return p
}

// Reset readies p for another stream of the same source: what was under way is
// gone, the last event id and the last retry stay.
func (p *Parser) Reset() {
	p.err = nil
	p.Feed(nil)
	p.line, p.bom, p.skipLF = p.line[:0], 0, false
	p.clear()
}

// Feed gives the parser the next piece, which must not be changed until Next has
// returned false. It must not be called before that.
func (p *Parser) Feed(piece []byte) {
	p.in, p.pos, p.lf, p.cr = piece, 0, -1, -1
}

// Next returns the next event that ends in the piece.
func (p *Parser) Next() (Block, bool) {
	if p.err != nil {
		return Block{}, false
	}
	if p.bom != done && !p.start() {
		return Block{}, false
	}
	for {
		line, own, ok := p.nextLine()
		if !ok {
			p.keep()
			return Block{}, false
		}
		if len(line) == 0 {
			if b, ok := p.dispatch(); ok {
				return b, true
			}
			continue
		}
		if err := p.field(line, own); err != nil {
			p.err = err
			return Block{}, false
		}
	}
}

// Err is why the parser has stopped for good: a bound was met. It wraps
// ErrTooLong.
func (p *Parser) Err() error { return p.err }

// LastEventID is the last event id of the stream so far: that of the last block
// that has ended.
func (p *Parser) LastEventID() string {
	if !p.lastOK {
		p.lastText, p.lastOK = utf8Text(p.last), true
	}
	return p.lastText
}

// Retry is the last reconnection time that the stream named; ok is false if it
// named none. It counts from its line on.
func (p *Parser) Retry() (d time.Duration, ok bool) {
	if p.reconnect < 0 {
		return 0, false
	}
	return millis(p.reconnect), true
}

var byteOrderMark = []byte{0xEF, 0xBB, 0xBF}

// start looks for the byte order mark that may begin a stream.
func (p *Parser) start() bool {
	for p.bom < len(byteOrderMark) {
		if p.pos == len(p.in) {
			return false
		}
		if p.in[p.pos] != byteOrderMark[p.bom] {
			// It was none: the bytes are the first line's.
			p.line = append(p.line, byteOrderMark[:p.bom]...)
			break
		}
		p.pos++
		p.bom++
	}
	p.bom = done
	return true
}

// nextLine returns the next line without its end. If own, it does not lie in the
// piece but in p.line, where the next such line will take its place.
func (p *Parser) nextLine() (line []byte, own, ok bool) {
	if p.skipLF && p.pos < len(p.in) {
		p.skipLF = false
		if p.in[p.pos] == '\n' {
			p.pos++
		}
	}
	rest := p.in[p.pos:]
	// Each kind is searched for once, not once for each line of the other kind.
	if p.lf < p.pos {
		if p.lf = bytes.IndexByte(rest, '\n'); p.lf < 0 {
			p.lf = len(p.in)
		} else {
			p.lf += p.pos
		}
	}
	if p.cr < p.pos {
		if p.cr = bytes.IndexByte(rest, '\r'); p.cr < 0 {
			p.cr = len(p.in)
		} else {
			p.cr += p.pos
		}
	}
	end := min(p.lf, p.cr)
	if len(p.line)+end-p.pos > p.opts.MaxLine {
		p.err = fmt.Errorf("sse: parse: a line of more than %d bytes: %w", p.opts.MaxLine, ErrTooLong)
		return nil, false, false
	}
	line = p.in[p.pos:end]
	if end == len(p.in) {
		p.line = append(p.line, line...)
		p.pos = end
		return nil, false, false
	}
	p.pos = end + 1
	p.skipLF = end == p.cr
	if len(p.line) > 0 {
		line, own = append(p.line, line...), true
		p.line = line[:0]
	}
	return line, own, true
}

var (
	nameData  = []byte("data")
	nameEvent = []byte("event")
	nameID    = []byte("id")
	nameRetry = []byte("retry")
)

// field takes a line that is not blank.
func (p *Parser) field(line []byte, own bool) error {
	colon := bytes.IndexByte(line, ':')
	name, value := line, []byte(nil)
	if colon >= 0 {
		name, value = line[:colon], line[colon+1:]
		if colon == 0 {
			if p.opts.Comment != nil {
				p.opts.Comment(value)
			}
			p.trim()
			return nil
		}
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
	}
	switch {
	case bytes.Equal(name, nameData):
		return p.addData(value, own)
	case bytes.Equal(name, nameEvent):
		p.set |= TypeField
		p.typ = value
		if own {
			p.typBuf = append(p.typBuf[:0], value...)
			p.typ = p.typBuf
		}
	case bytes.Equal(name, nameID):
		if bytes.IndexByte(value, 0) >= 0 {
			return nil
		}
		p.set |= IDField
		p.id = value
		if own {
			p.idBuf = append(p.idBuf[:0], value...)
			p.id = p.idBuf
		}
		if p.opts.DotNet {
			p.commit()
		}
	case bytes.Equal(name, nameRetry):
		if ms, ok := digits(value); ok {
			p.set |= RetryField
			p.retry, p.reconnect = ms, ms
		}
	}
	p.trim()
	return nil
}

// kept is how large a buffer may be that waits for the next event.
const kept = 256 << 10

// trim gives up the buffer of a line that was long.
func (p *Parser) trim() {
	if cap(p.line) > kept && len(p.line) == 0 {
		p.line = nil
	}
}

// addData adds a data line.
func (p *Parser) addData(value []byte, own bool) error {
	size := len(value)
	if p.hasData {
		size += len(p.data) + 1
	}
	if size > p.opts.MaxEvent {
		return fmt.Errorf("sse: parse: an event of more than %d bytes: %w", p.opts.MaxEvent, ErrTooLong)
	}
	switch {
	case !p.hasData && !own:
		p.data, p.dataOwn = value, false
	case !p.hasData:
		if cap(p.dataBuf) < len(value) && cap(p.line) > kept {
			// A long line becomes the data: no copy.
			p.dataBuf, p.line = value, nil
		} else {
			p.dataBuf = append(p.dataBuf[:0], value...)
		}
		p.data, p.dataOwn = p.dataBuf, true
	default:
		p.ownData()
		p.dataBuf = append(append(p.dataBuf, '\n'), value...)
		p.data = p.dataBuf
	}
	p.hasData = true
	return nil
}

// ownData moves the data out of the piece.
func (p *Parser) ownData() {
	if !p.dataOwn {
		p.dataBuf = append(p.dataBuf[:0], p.data...)
		p.data, p.dataOwn = p.dataBuf, true
	}
}

// keep moves what is under way out of the piece, which ends.
func (p *Parser) keep() {
	p.Feed(nil)
	if p.hasData {
		p.ownData()
	}
	if len(p.typ) > 0 {
		p.typBuf = append(p.typBuf[:0], p.typ...)
		p.typ = p.typBuf
	}
	if len(p.id) > 0 {
		p.idBuf = append(p.idBuf[:0], p.id...)
		p.id = p.idBuf
	}
}

// dispatch ends a block at its blank line.
func (p *Parser) dispatch() (Block, bool) {
	if p.set&IDField != 0 && !p.opts.DotNet {
		p.commit()
	}
	if !p.hasData {
		if !p.opts.DotNet {
			p.clear()
		}
		return Block{}, false
	}
	b := Block{Type: p.typ, Data: p.data, ID: p.id, Retry: p.retry, Set: p.set, parser: p}
	p.clear()
	return b, true
}

// commit makes the id under way the last event id.
func (p *Parser) commit() {
	if !bytes.Equal(p.last, p.id) {
		p.last = append(p.last[:0], p.id...)
		p.lastOK = false
	}
}

// clear forgets the block; its bytes stay until the next one is parsed.
func (p *Parser) clear() {
	p.typ, p.data, p.id, p.set, p.retry = nil, nil, nil, 0, 0
	p.hasData, p.dataOwn = false, false
	if cap(p.dataBuf) > kept {
		p.dataBuf = nil
	}
	p.trim()
}

// typeText is t as text. Streams have few types, and often one after another.
func (p *Parser) typeText(t []byte) string {
	if p.typeCached != string(t) {
		p.typeCached = utf8Text(t)
	}
	return p.typeCached
}

// maxRetry is the longest reconnection time in milliseconds: .NET's, about
// 29,000 years.
const maxRetry = math.MaxInt64 / 10_000

// digits is a retry field's value: ASCII digits alone.
func digits(s []byte) (int64, bool) {
	if len(s) == 0 {
		return 0, false
	}
	var n int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		if n = n*10 + int64(c-'0'); n > maxRetry {
			return 0, false
		}
	}
	return n, true
}
