package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	patience = 3 * time.Minute       // for a server to start
	farewell = 15 * time.Second      // for one to end in good order
	attempt  = 5 * time.Second       // for one answer
	between  = 50 * time.Millisecond // questions whether it is up
)

// Server is one instance with a folder of its own. It is not safe for
// concurrent use.
type Server struct {
	kind
	dir      string
	port     int
	settings []string
	detached bool // it outlives this process
	procs    []process
}

// URL returns where clients find it, also while it is down.
func (s *Server) URL() string { return s.url(s.port) }

// Addr returns its host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Pid returns the number of its main process, and 0 while it is down.
func (s *Server) Pid() int {
	if len(s.procs) == 0 {
		return 0
	}
	return s.procs[len(s.procs)-1].pid
}

// start starts its processes and waits until it answers.
func (s *Server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.prepare(s); err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	cmds, err := s.commands(s)
	if err != nil {
		return err
	}
	for _, cmd := range cmds {
		if err := s.launch(cmd); err != nil {
			return errors.Join(err, s.kill(ctx))
		}
	}
	if err := s.answers(ctx); err != nil {
		return errors.Join(err, s.kill(ctx))
	}
	return nil
}

// launch starts one of its processes.
func (s *Server) launch(cmd *exec.Cmd) error {
	out, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true // signals for this process are not for it
	if !s.detached {
		bind(cmd.SysProcAttr, s.drop)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	seen, _ := look(cmd.Process.Pid)
	reaped := make(chan struct{})
	go func() {
		defer close(reaped)
		_ = cmd.Wait() // how it ended stands in its log
	}()
	s.procs = append(s.procs, process{pid: cmd.Process.Pid, born: seen.born, reaped: reaped})
	if s.detached {
		return s.note() // at once: whoever starts it may end while it does
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(s.dir, "log.txt") }

// answers blocks until it answers clients, or one of its processes ends.
func (s *Server) answers(ctx context.Context) error {
	ask := time.NewTicker(between)
	defer ask.Stop()
	for {
		err := ask1(ctx, s.kind, s.URL())
		if err == nil {
			return nil
		}
		for _, p := range s.procs {
			if !p.alive() {
				return fmt.Errorf("%s has ended while it started: %s", s.name, s.lastWords())
			}
		}
		select {
		case <-ask.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %w; it says: %s", s.name, s.Addr(), err, s.lastWords())
		}
	}
}

// ask1 asks a server once whether it is up.
func ask1(ctx context.Context, k kind, address string) error {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if err := k.probe(ctx, address); err != nil {
		return fmt.Errorf("%s at %s: %w", k.name, hostOf(address), err)
	}
	return nil
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that can't be read"
	}
	return u.Host
}

// lastWords returns the end of its log.
func (s *Server) lastWords() string {
	raw, _ := os.ReadFile(s.log())
	all := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(all[max(0, len(all)-10):], "\n")
}

// end ends it by a signal to its main process, and waits for that. What does
// not end in time is killed.
func (s *Server) end(ctx context.Context, by syscall.Signal) error {
	if len(s.procs) == 0 {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	if main := s.procs[len(s.procs)-1]; main.signal(by) == nil {
		_ = main.ended(soon) // or it is killed
	}
	return s.kill(ctx)
}

// kill ends it with all its processes, at once.
func (s *Server) kill(ctx context.Context) error {
	var errs []error
	for i := len(s.procs) - 1; i >= 0; i-- {
		errs = append(errs, s.procs[i].kill(ctx))
	}
	s.procs = slices.DeleteFunc(s.procs, func(p process) bool { return !p.alive() })
	return errors.Join(errs...)
}
