//go:build !linux

package servers

import "syscall"

func bind(*syscall.SysProcAttr, syscall.Signal) {}
