package engine

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/millrace-go/millrace/store"
)

// thisProcess describes the process, so that others can tell whether it still
// lives. Where the system has no /proc, only the lease tells.
func thisProcess() store.Worker {
	host, _ := os.Hostname()
	ns, _ := os.Readlink("/proc/self/ns/pid")
	born, _ := bornAt(os.Getpid())
	return store.Worker{Host: host, Boot: bootID(), PidNS: ns, PID: os.Getpid(), Born: born}
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// bornAt returns the start time of a process in clock ticks since boot (field
// 22 of proc(5) stat), or "" when it does not run any more; unknown says that
// it can't be told.
func bornAt(pid int) (born string, unknown bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", !missing(pid)
	}
	// The second field is the command in parentheses and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 {
		return "", true
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return "", false
	}
	return fields[19], false
}

// missing reports whether the system knows no such process. That its folder
// can't be read proves nothing: it may be hidden, or no file is left to open.
func missing(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }()
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// gone reports whether w is a process of this machine, this boot and this pid
// namespace that does not run any more. Two containers differ in their pid
// namespaces, two hosts in their boots.
func gone(w, me store.Worker) bool {
	if w.Boot == "" || w.PidNS == "" || w.Born == "" || w.Boot != me.Boot || w.PidNS != me.PidNS {
		return false
	}
	born, unknown := bornAt(w.PID)
	return !unknown && born != w.Born
}
