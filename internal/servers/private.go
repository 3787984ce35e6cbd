package servers

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
)

// T is the part of testing.TB that this package uses, so that programs which
// import it are not linked with the package testing.
type T interface {
	// Helper leaves the caller out of a failure's place.
	Helper()
	// Cleanup calls fn when the test has ended.
	Cleanup(fn func())
	// Fatalf fails the test, and does not return.
	Fatalf(format string, args ...any)
	// Skipf skips the test, and does not return.
	Skipf(format string, args ...any)
}

// Private is a server that belongs to one test, which may end and start it at
// will. All that it does fails the test if it can't be done. It is not safe
// for concurrent use.
type Private struct {
	*Server
	t T
}

// StartPostgres starts a PostgreSQL server with empty data, waits until it
// answers, and ends it with the test. Settings are lines of its configuration
// file, which win over the usual ones.
func StartPostgres(t T, settings ...string) *Private {
	t.Helper()
	return startPrivate(t, postgres(), settings)
}

// StartRedis does the same with Redis.
func StartRedis(t T, settings ...string) *Private {
	t.Helper()
	return startPrivate(t, redis(), settings)
}

// StartAMQP does the same with RabbitMQ, which takes some seconds. A quorum
// queue that was declared less than some seconds before a Kill has no leader
// afterwards, for ever: whoever uses it blocks. That is RabbitMQ 3.10.
func StartAMQP(t T, settings ...string) *Private {
	t.Helper()
	return startPrivate(t, rabbitmq(), settings)
}

func startPrivate(t T, k kind, settings []string) *Private {
	t.Helper()
	if os.Getenv(k.variable) == without {
		t.Skipf("%s is %s", k.variable, without)
	}
	dir, err := os.MkdirTemp("", "millrace-"+k.name+"-") // a test's own folder is closed to other users
	if err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	p := &Private{t: t, Server: &Server{kind: k, dir: dir, settings: settings}}
	t.Cleanup(func() {
		if err := errors.Join(p.end(context.Background(), p.drop), os.RemoveAll(dir)); err != nil {
			t.Fatalf("end %s: %v", k.name, err)
		}
	})
	if p.port, err = freePorts(); err != nil {
		t.Fatalf("%s: %v", k.name, err)
	}
	p.Start()
	return p
}

// Start starts it again, on the same data and port, and waits until it
// answers. If it runs, nothing happens.
func (p *Private) Start() {
	p.t.Helper()
	if len(p.procs) > 0 {
		return
	}
	if err := p.start(context.Background()); err != nil {
		p.t.Fatalf("%v", err)
	}
}

// Kill ends all its processes at once, as when the power fails but the machine
// goes on: what was written to files stays. It blocks until they are gone.
func (p *Private) Kill() {
	p.t.Helper()
	if err := p.kill(context.Background()); err != nil {
		p.t.Fatalf("kill %s: %v", p.name, err)
	}
}

// Stop ends it in good order, and blocks until it is gone.
func (p *Private) Stop() {
	p.t.Helper()
	if err := p.end(context.Background(), p.stop); err != nil {
		p.t.Fatalf("stop %s: %v", p.name, err)
	}
}

var given sync.Map

// freePorts returns the first of three ports that nothing listens on. They lie
// below those that the system gives to clients: a client that calls a server
// which is down could be given that very port, and talk to itself.
//
// Nothing is given out twice in a process: who got it may not listen yet.
func freePorts() (int, error) {
	var err error
	for range 100 {
		port := 10_000 + 3*rand.IntN(5_000)
		if _, again := given.LoadOrStore(port, true); again {
			continue
		}
		if err = errors.Join(free(port), free(port+1), free(port+2)); err == nil {
			return port, nil
		}
	}
	return 0, err
}

// Port returns a TCP port of this machine that nothing listens on, and that no
// client will be given.
func Port(t T) int {
	t.Helper()
	port, err := freePorts()
	if err != nil {
		t.Fatalf("free port: %v", err)
	}
	return port
}

func free(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}
