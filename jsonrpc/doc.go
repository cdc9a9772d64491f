// Package jsonrpc is JSON-RPC 2.0: a symmetric peer, and hubs over it. It speaks over
// streams of bytes ([NewConn], [Serve], [Dial], [Pipe], package stdio), WebSockets
// and POST ([Mount], [DialWebSocket]), and whatever else has messages
// ([NewMessageConn]).
//
// A [Conn] answers what its peer calls, with the handlers of a hub, and calls the
// peer: it is a hubwire.Caller, so the same typed names serve both ends. It is at
// home with the Language Server Protocol ([LSP]), the Model Context Protocol
// ([MCP]) and StreamJsonRpc ([StreamJsonRpc]).
//
//	const Add hubwire.Method[Pair, int] = "Add"
//
//	conn := jsonrpc.NewConn(rwc, hub, nil)
//	sum, err := Add.Call(ctx, conn, Pair{A: 1, B: 2})
//
// Methods are methods, streams are asynchronous sequences as StreamJsonRpc
// has them ($/enumerator/next), events are notifications, and questions to a
// client are requests to it.
//
// A Conn does not end because of bad input as long as it can tell where the next
// message begins; it never answers an answer; and it gives ids back as they came,
// byte for byte.
package jsonrpc
