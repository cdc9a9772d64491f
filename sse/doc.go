// Package sse is Server-Sent Events: the encoder and the parser, servers and
// their topics, the client, and a hub's own wire. All but the last work without
// any hub.
//
// A handler that streams is one line:
//
//	func prices(w http.ResponseWriter, r *http.Request) {
//		sse.Serve(w, r, quotes(r.Context())) // an iter.Seq2[sse.Event[Quote], error]
//	}
//
// [Open] gives a [Session] to those who want control, a [Topics] sends what is
// published to many subscribers and keeps a log for those who come back.
// [Append] and [Parser] are the format itself, without net/http.
//
// The format is section 9.2 of the HTML standard,
// https://html.spec.whatwg.org/multipage/server-sent-events.html.
package sse
