//go:build unix

package stdio

import "syscall"

// alive reports whether there is a process with that id.
func alive(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }
