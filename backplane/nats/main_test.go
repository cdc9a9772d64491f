package nats_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/leak"
)

// TestMain fails when goroutines are left behind, those of the client too.
func TestMain(m *testing.M) { leak.Main(m, "github.com/nats-io/nats.go") }
