package engine

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"github.com/millrace-go/millrace/store"
)

// thisProcess describes the process, so that others can tell whether it still
// lives. Where the system has no /proc, only the lease tells.
func thisProcess() store.Worker {
	host, _ := os.Hostname()
	ns, _ := os.Readlink("/proc/self/ns/pid")
	return store.Worker{Host: host, Boot: bootID(), PidNS: ns, PID: os.Getpid(), Born: bornAt(os.Getpid())}
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// bornAt returns the start time of a process in clock ticks since boot (field
// 22 of proc(5) stat), or "" when it does not run.
func bornAt(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The second field is the command in parentheses and may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}

// gone reports whether w is a process of this machine, this boot and this pid
// namespace that does not run any more. Two containers differ in their pid
// namespaces, two hosts in their boots.
func gone(w, me store.Worker) bool {
	if w.Boot == "" || w.PidNS == "" || w.Born == "" || w.Boot != me.Boot || w.PidNS != me.PidNS {
		return false
	}
	return bornAt(w.PID) != w.Born
}
