package mariadb

import "syscall"

// endWithParent makes the kernel end the child when its parent dies, however it dies.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
