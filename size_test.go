package hubwire

import (
	"testing"
	"unsafe"
)

// A connection that waits is mostly this struct and a stack. 416 bytes is a size
// class of the allocator: one more byte costs 32.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 416 {
		t.Errorf("a Conn has %d bytes", n)
	}
}
