// Package grpcwire serves gRPC and gRPC-Web on net/http, so that one port has
// them beside WebSockets, event streams and JSON-RPC: HTTP/1.1 (gRPC-Web, binary
// and text), HTTP/2 with and without TLS.
//
//	rpc := grpcwire.New(nil)
//	services := grpcadapter.New(rpc, nil)          // a grpc.ServiceRegistrar
//	pb.RegisterGreeterServer(services, &greeter{}) // as protoc-gen-go-grpc made it
//	srv := &http.Server{Addr: ":8080", Handler: grpcwire.Route(rpc, mux)}
//	grpcwire.Configure(srv)                        // protocols, windows, pings
//	log.Fatal(srv.ListenAndServe())
//
// The package needs google.golang.org/protobuf and nothing else; package
// grpcadapter, which needs grpc-go, registers services that were generated for
// it. Package grpchub serves hubs.
//
// # Why not grpc-go's own ServeHTTP
//
// It reads requests into memory without bound, loses the status at a deadline,
// knows no HTTP/1.1 and flushes every message. Here messages that are sent one
// after the other leave together: a Send appends to a buffer of 16 KiB, and
// what has gathered while the last write was under way is the next write. A
// message that answers one that was just received leaves at once.
//
// # Facts
//
// The protocols are those of grpc/grpc's PROTOCOL-HTTP2.md and PROTOCOL-WEB.md.
// Texts of errors that the package itself makes are those of ASP.NET Core, where
// it has one. Where it leaves the protocol we do not follow: docs/grpc.md lists
// that.
package grpcwire
