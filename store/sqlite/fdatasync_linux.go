package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// fdatasync flushes a file's data, and of its metadata what is needed to read
// it again.
func fdatasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
