package stdio

import "syscall"

// alive reports whether there is a process with that id.
func alive(pid int) bool {
	const synchronize, timeout = 0x100000, 0x102
	h, err := syscall.OpenProcess(synchronize, false, uint32(pid))
	if err != nil {
		return err == syscall.ERROR_ACCESS_DENIED
	}
	defer syscall.CloseHandle(h)
	what, err := syscall.WaitForSingleObject(h, 0)
	return err == nil && what == timeout
}
