package sse_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/leak"
)

// TestMain fails if a goroutine of a test is left behind.
func TestMain(m *testing.M) { leak.Main(m) }
