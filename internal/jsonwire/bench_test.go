package jsonwire_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/jsonwire"
)

var invocation = []byte(`{"type":1,"target":"SendMessage","arguments":["general","hello world, this is a message"]}`)

// The whole envelope is read and checked, nothing is decoded.
func BenchmarkEnvelope(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(invocation)))
	var s jsonwire.Scanner
	for b.Loop() {
		typ, target, args := readInvocation(b, &s, invocation)
		if typ != 1 || len(target) != 13 || args != 2 {
			b.Fatal(typ, target, args)
		}
	}
}

func readInvocation(b *testing.B, s *jsonwire.Scanner, rec []byte) (typ int32, target []byte, args int) {
	s.Reset(rec)
	s.Object()
	for key, ok := s.Member(); ok; key, ok = s.Member() {
		switch string(key) {
		case "type":
			raw, _ := s.Value()
			typ, _ = jsonwire.Int32(raw)
		case "target":
			target, _ = s.Value()
		case "arguments":
			for s.Array(); s.Element(); {
				s.Value()
				args++
			}
		default:
			s.Value()
		}
	}
	if s.Err() != nil {
		b.Fatal(s.Err())
	}
	return typ, target, args
}

func BenchmarkAppendString(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 100)
	for b.Loop() {
		buf = jsonwire.AppendString(buf[:0], "hello world, this is a message")
	}
}
