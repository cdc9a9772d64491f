package sse

import (
	"encoding/json"
	"fmt"
	"iter"
)

// Decode makes events whose data is JSON into events with values. Data that does
// not decode is an error, which is the last item, as is an error of events.
//
//	for ev, err := range sse.Decode[Chunk](client.Events(ctx)) {
func Decode[T any](events iter.Seq2[Event[string], error]) iter.Seq2[Event[T], error] {
	return func(yield func(Event[T], error) bool) {
		for e, err := range events {
			out := Event[T]{Type: e.Type, ID: e.ID, Retry: e.Retry, Set: e.Set, LastEventID: e.LastEventID}
			if err == nil {
				if err = json.Unmarshal([]byte(e.Data), &out.Data); err != nil {
					err = fmt.Errorf("sse: decode an event of type %q: %w", e.Type, err)
				}
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}
