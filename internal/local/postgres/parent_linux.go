package postgres

import "syscall"

// endWithParent makes the kernel ask the child for PostgreSQL's immediate shutdown when its parent dies, however it dies.
func endWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT}
}
