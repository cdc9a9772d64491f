// Package msgpack is MessagePack as MessagePack-CSharp writes and reads it for
// SignalR, for .NET and JavaScript peers: [Reader] and the Append functions for
// envelopes, [Codec] for values, [AppendLength] and [ReadLength] for the length
// prefixes between messages.
//
// The format is https://github.com/msgpack/msgpack/blob/master/spec.md. Nothing
// is ever allocated for a length that a message only claims, and nothing is
// nested deeper than [DefaultDepth].
package msgpack
