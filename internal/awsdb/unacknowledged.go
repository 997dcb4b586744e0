//go:build !linux

package awsdb

import "syscall"

// limitUnacknowledged does nothing: functions and servers run on Linux.
func limitUnacknowledged(_, _ string, _ syscall.RawConn) error { return nil }
