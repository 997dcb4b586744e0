package awsdb

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged sets TCP_USER_TIMEOUT: without it the kernel sends again for a quarter of an
// hour.
func limitUnacknowledged(_, _ string, socket syscall.RawConn) error {
	var failure error
	err := socket.Control(func(descriptor uintptr) {
		failure = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(descriptor), unix.IPPROTO_TCP,
			unix.TCP_USER_TIMEOUT, int(goneTimeout.Milliseconds())))
	})
	if err != nil {
		return err
	}
	return failure
}
