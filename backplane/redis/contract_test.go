package redis_test

import (
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/backplane/redis"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/redis/rueidis"
)

func node(addr string) *redis.Backplane {
	return redis.New(&redis.Options{Client: rueidis.ClientOption{InitAddress: []string{addr}}})
}

func TestContract(t *testing.T) {
	s := startRedis(t)
	hubtest.TestBackplane(t, func(t testing.TB, n int) (all []hubwire.Backplane) {
		for range n {
			all = append(all, node(s.addr))
		}
		return all
	})
}

func prefixed(addr, prefix string) *redis.Backplane {
	return redis.New(&redis.Options{Client: rueidis.ClientOption{InitAddress: []string{addr}}, Prefix: prefix})
}
