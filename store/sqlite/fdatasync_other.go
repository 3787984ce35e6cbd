//go:build !linux

package sqlite

import "os"

// fdatasync flushes a file.
func fdatasync(f *os.File) error { return f.Sync() }
