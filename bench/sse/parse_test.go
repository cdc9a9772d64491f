//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	hubwire "github.com/hubwire/hubwire/sse"
	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	tmaxmax "github.com/tmaxmax/go-sse"
)

// stream are events of 131 bytes, of an id, a type and 100 bytes of data.
func stream(n int) []byte {
	var b bytes.Buffer
	data := bytes.Repeat([]byte("x"), 100)
	for i := range n {
		fmt.Fprintf(&b, "id: %08d\nevent: tick\ndata: %s\n\n", i, data)
	}
	return b.Bytes()
}

// BenchmarkParse reads a stream with each library's parser, in one run.
func BenchmarkParse(b *testing.B) {
	const events = 10000
	text := stream(events)
	for _, p := range []struct {
		name  string
		count func(io.Reader) (int, error)
	}{
		{"hubwire", func(in io.Reader) (n int, err error) {
			r := hubwire.NewReader(in, nil)
			for {
				if _, err = r.Next(); err != nil {
					return n, err
				}
				n++
			}
		}},
		{"hubwire-strings", func(in io.Reader) (n int, err error) {
			for _, err := range hubwire.Read(in, nil) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, io.EOF
		}},
		{"tmaxmax", func(in io.Reader) (n int, err error) {
			for _, err := range tmaxmax.Read(in, nil) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, io.EOF
		}},
		{"r3labs-split-only", func(in io.Reader) (n int, err error) {
			r := r3labs.NewEventStreamReader(in, 1<<16)
			for {
				if _, err = r.ReadEvent(); err != nil {
					return n, err
				}
				n++
			}
		}},
		{"launchdarkly", func(in io.Reader) (n int, err error) {
			d := eventsource.NewDecoder(in)
			for {
				if _, err = d.Decode(); err != nil {
					return n, err
				}
				n++
			}
		}},
	} {
		b.Run(p.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := p.count(bytes.NewReader(text)); n != events || err != io.EOF {
					b.Fatal(n, err)
				}
			}
		})
	}
}
