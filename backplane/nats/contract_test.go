package nats_test

import (
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/backplane/nats"
	"github.com/hubwire/hubwire/hubtest"
)

func node(url string) *nats.Backplane { return nats.New(&nats.Options{Servers: []string{url}}) }

func TestContract(t *testing.T) {
	s := startNATS(t)
	hubtest.TestBackplane(t, func(t testing.TB, n int) (all []hubwire.Backplane) {
		for range n {
			all = append(all, node(s.ClientURL()))
		}
		return all
	})
}

// Nodes on different servers of a cluster are one hub too.
func TestContractCluster(t *testing.T) {
	servers := startCluster(t, 2)
	hubtest.TestBackplane(t, func(t testing.TB, n int) (all []hubwire.Backplane) {
		for i := range n {
			all = append(all, node(servers[i%len(servers)].ClientURL()))
		}
		return all
	})
}
