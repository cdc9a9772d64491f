package sse

import "time"

// DefaultType is the type of an event that names none.
const DefaultType = "message"

// An Event is one event of a stream.
//
// Strings and bytes are sent as they are, one data line for each of their
// lines; every other type is sent as JSON.
type Event[T any] struct {
	// Type is what the client's listener is registered for. When it is sent, ""
	// writes no event line; when it was received, it is never "": an event that
	// named none has [DefaultType].
	Type string
	// Data is what the event says.
	Data T
	// ID is the event's id, which the client sends back as Last-Event-ID when it
	// reconnects. "" is none: the client keeps the one it had.
	ID string
	// Retry is how long the client shall wait before it reconnects, in whole
	// milliseconds. Zero leaves that alone.
	Retry time.Duration
	// Set are fields that are there although they are empty: IDField with an
	// empty ID makes the client forget its last id. On a received event it has
	// every field that the event named itself.
	Set Fields
	// LastEventID is, on a received event, what the client would reconnect with:
	// the last id that the stream named. It is not sent.
	LastEventID string
}

// Fields are some of an event's fields.
type Fields uint8

// The fields that can be there and empty.
const (
	TypeField  Fields = 1 << iota // an event line
	IDField                       // an id line
	RetryField                    // a retry line
)
