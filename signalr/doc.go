// Package signalr serves hubs to SignalR clients: the official JavaScript and
// .NET clients and all that speak the protocol of ASP.NET Core SignalR, in JSON
// and in MessagePack.
//
//	hub := hubwire.New(nil)
//	signalr.Mount(http.DefaultServeMux, "/chat", hub, nil)
//
// What goes over the wire is what ASP.NET Core 10 sends, byte for byte where a
// client could tell: negotiation, handshake, messages, error texts, close
// messages and codes. Where that server is at fault this one does better;
// docs/rough-edges.md has the list.
//
// Transports: WebSockets. A transport that is not listed in Options.Transports
// is neither offered nor served.
package signalr
