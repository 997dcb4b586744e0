//go:build !linux

package mariadb

import "syscall"

// endWithParent cannot tie a child to its parent here: only Linux has that. Stop ends the server.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }
