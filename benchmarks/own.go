package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace-go/millrace/internal/servers"
)

// ownServers are servers that the benchmark has started for itself, and may
// kill, by the scheme of their URLs.
type ownServers struct {
	started  map[string]*servers.Private
	cleanups []func()
}

var privates = map[string]func(t servers.T, settings ...string) *servers.Private{
	"postgres": servers.StartPostgres, "redis": servers.StartRedis, "amqp": servers.StartAMQP,
}

// startServers starts those that pairs need.
func startServers(pairs []pair) (*ownServers, error) {
	own := &ownServers{started: map[string]*servers.Private{}}
	for _, p := range pairs {
		for _, need := range []string{scheme(p.store), scheme(p.transport)} {
			if privates[need] == nil || own.started[need] != nil {
				continue
			}
			err := attempt(func() { own.started[need] = privates[need](own) })
			if err != nil {
				return nil, errors.Join(err, own.stop())
			}
		}
	}
	return own, nil
}

// urls are where they are.
func (o *ownServers) urls() serverURLs {
	out := serverURLs{}
	for name, s := range o.started {
		out[name] = s.URL()
	}
	return out
}

// restart kills a server and starts it again, on the same data. It reports
// whether there is one.
func (o *ownServers) restart(name string) (bool, error) {
	s := o.started[name]
	if s == nil {
		return false, nil
	}
	return true, attempt(func() {
		s.Kill()
		s.Start()
	})
}

func (o *ownServers) stop() error {
	var errs []error
	for _, c := range slices.Backward(o.cleanups) {
		errs = append(errs, attempt(c))
	}
	o.cleanups = nil
	return errors.Join(errs...)
}

// Package servers is made for tests, which end where something fails. Here
// that is a panic with a fault, which attempt turns into an error.
type fault struct{ error }

func attempt(fn func()) (err error) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case fault:
			err = v.error
		default:
			panic(v)
		}
	}()
	fn()
	return nil
}

// Helper, Cleanup, Fatalf and Skipf are [servers.T].
func (o *ownServers) Helper() {}

// Cleanup notes what stop calls.
func (o *ownServers) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

// Fatalf ends the attempt.
func (o *ownServers) Fatalf(format string, args ...any) { panic(fault{fmt.Errorf(format, args...)}) }

// Skipf ends the attempt.
func (o *ownServers) Skipf(format string, args ...any) { o.Fatalf(format, args...) }
