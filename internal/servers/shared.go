package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// without is the value of a variable for people who have no such server: tests
// that need one are skipped.
const without = "none"

// Postgres returns the URL of a PostgreSQL server that tests share: the value
// of MILLRACE_TEST_POSTGRES, or that of "make services". If it can't be
// reached the test fails. With the value "none" it is skipped.
func Postgres(t T) string {
	t.Helper()
	return shared(t, postgres(), &reachedPostgres)
}

// Redis does the same for Redis and MILLRACE_TEST_REDIS.
func Redis(t T) string {
	t.Helper()
	return shared(t, redis(), &reachedRedis)
}

// AMQP does the same for RabbitMQ and MILLRACE_TEST_AMQP.
func AMQP(t T) string {
	t.Helper()
	return shared(t, rabbitmq(), &reachedAMQP)
}

// reached notes whether this process could reach a shared server: it tries once.
type reached struct {
	once sync.Once
	err  error
}

var reachedPostgres, reachedRedis, reachedAMQP reached

func shared(t T, k kind, r *reached) string {
	t.Helper()
	address := os.Getenv(k.variable)
	if address == without {
		t.Skipf("%s is %s", k.variable, without)
	}
	if address == "" {
		address = k.url(k.port)
	}
	r.once.Do(func() { r.err = ask1(context.Background(), k, address) })
	if r.err != nil {
		t.Fatalf("%v; run: make services", r.err)
	}
	return address
}

// Folder returns where the shared servers of this user live.
func Folder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("millrace-services-%d", os.Getuid()))
}

// Services are the shared servers below a folder. Several processes may use
// one folder at the same time.
type Services struct {
	dir   string
	kinds []kind
}

// Open returns the shared servers below a folder, and makes that if need be.
// It starts nothing.
func Open(dir string) (*Services, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if own, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(own.Uid) != os.Getuid() {
		return nil, fmt.Errorf("%s belongs to somebody else", dir)
	}
	return &Services{dir: dir, kinds: kinds()}, nil
}

// State is what is known of a shared server.
type State struct {
	Name    string
	URL     string
	Pid     int  // 0 if it is not one of this folder's
	Started bool // by this call
}

// Up starts what does not answer, waits until all do, and returns their states.
// What answers is left alone, whoever started it.
func (s *Services) Up(ctx context.Context) ([]State, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	out, errs := make([]State, len(s.kinds)), make([]error, len(s.kinds))
	var wait sync.WaitGroup
	for i, k := range s.kinds {
		wait.Go(func() { out[i], errs[i] = s.up(ctx, k) })
	}
	wait.Wait()
	return out, errors.Join(errs...)
}

func (s *Services) up(ctx context.Context, k kind) (State, error) {
	server, err := s.known(k)
	if err != nil {
		return State{Name: k.name}, err
	}
	state := State{Name: k.name, URL: server.URL(), Pid: server.Pid()}
	if ask1(ctx, k, server.URL()) == nil {
		return state, nil
	}
	if err := server.kill(ctx); err != nil { // it may run and not be well
		return state, err
	}
	if err := server.start(ctx); err != nil {
		return state, errors.Join(err, server.note())
	}
	state.Pid, state.Started = server.Pid(), true
	return state, nil
}

// Down ends those that were started below this folder, and removes what they
// kept: tests leave queues and rows behind, and each start would take longer.
func (s *Services) Down(ctx context.Context) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	errs := make([]error, len(s.kinds))
	var wait sync.WaitGroup
	for i, k := range s.kinds {
		wait.Go(func() {
			errs[i] = s.down(ctx, k)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

func (s *Services) down(ctx context.Context, k kind) error {
	server, err := s.known(k)
	if err != nil {
		return err
	}
	if err := server.end(ctx, server.stop); err != nil {
		return errors.Join(err, server.note())
	}
	if ask1(ctx, k, server.URL()) == nil { // one that was not noted, or somebody else's
		return server.note()
	}
	return os.RemoveAll(server.dir)
}

// Check returns an error for each that does not answer.
func (s *Services) Check(ctx context.Context) error {
	var errs []error
	for _, k := range s.kinds {
		errs = append(errs, ask1(ctx, k, k.url(k.port)))
	}
	return errors.Join(errs...)
}

// lock keeps other processes out.
func (s *Services) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// known returns a server with those processes that it noted and that still run.
func (s *Services) known(k kind) (*Server, error) {
	server := &Server{kind: k, dir: filepath.Join(s.dir, k.name), port: k.port, detached: true}
	if err := os.MkdirAll(server.dir, 0o755); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(server.pidFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(raw)) {
		var p process
		if n, _ := fmt.Sscan(line, &p.pid, &p.born); n == 2 && p.alive() {
			server.procs = append(server.procs, p)
		}
	}
	return server, nil
}

func (s *Server) pidFile() string { return filepath.Join(s.dir, "pid") }

// note writes down its processes.
func (s *Server) note() error {
	all := make([]string, len(s.procs))
	for i, p := range s.procs {
		all[i] = fmt.Sprint(p.pid, " ", p.born)
	}
	return lines(s.pidFile(), all...)
}
