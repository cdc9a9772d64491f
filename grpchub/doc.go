// Package grpchub serves hubs over gRPC and gRPC-Web: a gRPC client is a
// connection of the hub like any other, in the same groups as browsers.
//
//	rpc := grpcwire.New(nil)
//	grpchub.Mount(rpc, map[string]*hubwire.Hub{"chat": chat}, nil)
//	srv := &http.Server{Handler: grpcwire.Route(rpc, mux)}
//	grpcwire.Configure(srv)
//
// The messages are in hubpb (hub.proto), the services, and clients for grpc-go,
// in hubgrpc (hub_service.proto).
//
// # Connections
//
// Connect is a connection, whole: the client's first frame is a Hello, the hub's
// a Welcome; then both send what SignalR's hub protocol has. Subscribe is a
// connection that receives, which is all that a browser can do with gRPC-Web;
// calls are made on it by Invoke, InvokeStream and Upload with the token of its
// Welcome. Without a connection these make one for the length of the call, which
// is in no group.
//
// A client that half-closes its stream is given the answers to its calls, for 5
// s at most, and then the end.
//
// # Encodings
//
// JSON and MessagePack are those of package signalr, and events are the very
// bytes that browsers get. With PROTOBUF a value whose Go type is a protobuf
// message is that message, and any other is JSON: json_args and json say so.
//
// # Errors
//
// What a hub says of a call is in Completion.error, and the status of Invoke is
// OK then. Statuses are for the connection: INVALID_ARGUMENT for a first frame
// that is no Hello or comes late, NOT_FOUND for an unknown hub, PERMISSION_DENIED
// for a refusal of Connect, RESOURCE_EXHAUSTED for a client that does not read
// and for messages that are too large, UNAVAILABLE when the server shuts down
// and UNAUTHENTICATED when the user's credentials have ended, both after a Close
// frame with reconnect, and OK otherwise.
//
// # Publishing
//
// HubPublisher lets services behind the hub send events and move connections
// between groups. Nobody may unless Options.Publish says so.
package grpchub
