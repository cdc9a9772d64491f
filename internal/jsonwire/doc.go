// Package jsonwire is the JSON that all wires share: [Scanner] for envelopes,
// [Codec] for values, [AppendString] and [Text] for strings.
//
// Values have the meaning that encoding/json (v1) gives them, without HTML
// escaping; where System.Text.Json is stricter about what it reads, so is
// [Codec.Decode].
package jsonwire
