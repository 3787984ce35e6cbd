//go:build !linux

package postgres

import "syscall"

// userTimeout does nothing: deadlines and keepalives must do.
func userTimeout(string, string, syscall.RawConn) error { return nil }
