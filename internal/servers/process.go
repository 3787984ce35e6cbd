package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a process of the system, told apart from a later one that got the
// same number by when it was born.
type process struct {
	pid    int
	born   string          // in ticks since the machine booted
	reaped <-chan struct{} // closed once it was waited for, if it is a child
}

// status is what the system says about a process.
type status struct {
	parent int
	state  string
	born   string
}

// look returns the status of a process, and whether there is one.
func look(pid int) (status, bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return status{}, false
	}
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return status{}, false
	}
	parent, _ := strconv.Atoi(fields[1])
	return status{parent: parent, state: fields[0], born: fields[19]}, true
}

// alive says whether it still runs.
func (p process) alive() bool {
	s, ok := look(p.pid)
	return ok && s.born == p.born && s.state != "Z" && s.state != "X"
}

// ended blocks until it has ended, or the context.
func (p process) ended(ctx context.Context) error {
	ask := time.NewTicker(10 * time.Millisecond)
	defer ask.Stop()
	for p.alive() {
		select {
		case <-ask.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d has not ended: %w", p.pid, ctx.Err())
		}
	}
	if p.reaped != nil {
		<-p.reaped
	}
	return nil
}

// signal sends a signal; one to a process that has ended is no error.
func (p process) signal(s syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// kill ends it and all that it has started, at once, and waits for that. It is
// stopped first, so that it starts nothing while its children are counted.
func (p process) kill(ctx context.Context) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	family := append(p.children(), p)
	var errs []error
	for _, member := range family {
		errs = append(errs, member.signal(syscall.SIGKILL))
	}
	for _, member := range family {
		errs = append(errs, member.ended(ctx))
	}
	return errors.Join(errs...)
}

// children returns all that descends from it.
func (p process) children() []process {
	all := map[int][]process{}
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if err != nil {
			continue
		}
		if s, ok := look(pid); ok {
			all[s.parent] = append(all[s.parent], process{pid: pid, born: s.born})
		}
	}
	if !p.alive() {
		return nil
	}
	out := append([]process(nil), all[p.pid]...)
	for i := 0; i < len(out); i++ {
		out = append(out, all[out[i].pid]...)
	}
	return out
}
