package servers

import "syscall"

// bind lets a private server end when the process that started it dies.
func bind(attr *syscall.SysProcAttr, s syscall.Signal) { attr.Pdeathsig = s }
