// Package multiplex carries many streams of bytes over one: .NET's
// MultiplexingStream (Nerdbank.Streams), versions 1 to 3, as StreamJsonRpc, Visual
// Studio and the npm package nerdbank-streams speak it.
//
//	m, err := multiplex.New(ctx, tcp, nil)
//	rpc, err := m.Offer(ctx, "rpc") // the other end: m.Accept(ctx, "rpc")
//	conn := jsonrpc.NewConn(rpc, hub, jsonrpc.StreamJsonRpc())
//
// In versions 2 and 3 the reader of a channel holds back its writer alone. Version
// 1 has no such means: a channel whose reader does not read is ended when too much
// waits for it.
package multiplex
