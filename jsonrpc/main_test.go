package jsonrpc_test

import (
	"testing"

	"github.com/hubwire/hubwire/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }
