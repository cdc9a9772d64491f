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

// The envelope is read and the arguments are decoded into two strings.
func BenchmarkEnvelopeAndStrings(b *testing.B) {
	b.ReportAllocs()
	var s jsonwire.Scanner
	var args struct{ Group, Text string }
	into := [2]any{&args.Group, &args.Text}
	for b.Loop() {
		s.Reset(invocation)
		s.Object()
		for key, ok := s.Member(); ok; key, ok = s.Member() {
			if string(key) != "arguments" {
				s.Value()
				continue
			}
			s.Array()
			for i := 0; s.Element(); i++ {
				raw, _ := s.Value()
				if err := codec.Decode(raw, into[i]); err != nil {
					b.Fatal(err)
				}
			}
		}
		if s.Err() != nil || len(args.Text) != 30 {
			b.Fatal(s.Err(), args)
		}
	}
}

func BenchmarkCodec(b *testing.B) {
	p := person{Name: "Ada", Age: 36, Tags: []string{"x", "y"}}
	var boxed any = "hello world, this is a message"
	for _, c := range []struct {
		name string
		v    any
		into any
	}{{"string", boxed, new(string)}, {"int", 123456, new(int)}, {"float", 1.5, new(float64)}, {"bytes", []byte("0123456789"), new([]byte)}, {"struct", &p, new(person)}} {
		src, err := codec.Append(nil, c.v)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name+"/encode", func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf, _ = codec.Append(buf[:0], c.v)
			}
		})
		b.Run(c.name+"/decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Decode(src, c.into); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendString(b *testing.B) {
	b.ReportAllocs()
	buf := make([]byte, 0, 100)
	for b.Loop() {
		buf = jsonwire.AppendString(buf[:0], "hello world, this is a message")
	}
}
