// Package stdio is JSON-RPC over the standard input and output of a process: for
// the process that serves there ([Serve]), such as a language server or an MCP
// server, and for the one that has started it ([Start]).
//
//	func main() {
//		hub := hubwire.New(nil)
//		hub.Handle(…)
//		if err := stdio.Serve(context.Background(), hub, jsonrpc.MCP()); err != nil {
//			log.Fatal(err)
//		}
//	}
package stdio
