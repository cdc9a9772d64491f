package grpcadapter

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Health registers grpc-go's health service. The server as a whole ("") is
// SERVING until the handler's Shutdown begins; then all services are
// NOT_SERVING, before any call is refused or ended, and checks are answered to
// the last. What else is known of services is for the caller to set.
func (s *Server) Health() *health.Server {
	h := health.NewServer()
	s.register(&grpc_health_v1.Health_ServiceDesc, h, true)
	s.rpc.OnDrain(h.Shutdown)
	return h
}

var _ grpc.ServiceRegistrar = (*Server)(nil)
