package postgres

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// userTimeout makes a connection fail when what was sent is not acknowledged
// for a while: 20 s.
func userTimeout(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 20_000)
	})
	if err != nil {
		return err
	}
	return failed
}
