package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"sync"

	"github.com/lib/pq"
)

// pool keeps the store's own connections. It opens one when it is needed.
type pool struct {
	connector *pq.Connector
	places    chan struct{} // one taken for each session in use

	mu     sync.Mutex
	idle   []*session
	closed bool
	age    int64 // how many sessions broke
}

// now tells times apart between which a session broke: the server may not be
// the one that it was.
func (p *pool) now() (age int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.age
}

func newPool(connector *pq.Connector, size int) *pool {
	return &pool{connector: connector, places: make(chan struct{}, size)}
}

// take waits for a session as long as ctx lasts. It must be given back.
func (p *pool) take(ctx context.Context) (*session, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	n := len(p.idle)
	if n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return s, nil
	}
	p.mu.Unlock()
	s, err := p.open(ctx)
	if err != nil {
		<-p.places
		return nil, err
	}
	return s, nil
}

func (p *pool) open(ctx context.Context) (*session, error) {
	age := p.now()
	conn, err := p.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s := newSession(conn)
	s.age = age
	err = s.query(sqlBackend, func(row []driver.Value) error {
		s.backend = backend{pid: integer(row[0]), since: integer(row[1])}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// give takes a session back. One that broke is closed; those that were opened
// before go with it, since they lead to the same server.
func (p *pool) give(s *session) {
	p.mu.Lock()
	drop := []*session{s}
	switch {
	case s.broken:
		p.age++
		drop = append(drop, p.idle...)
		p.idle = nil
	case !p.closed && s.age == p.age:
		p.idle = append(p.idle, s)
		drop = nil
	}
	p.mu.Unlock()
	for _, s := range drop {
		_ = s.close() // nothing is under way on it
	}
	<-p.places
}

// with runs f on a session, once more on a new one when the session had been
// idle and turned out to be dead before the server had anything to do. f must
// be a single statement, or harmless to repeat.
func (p *pool) with(ctx context.Context, f func(*session) error) error {
	for try := 0; ; try++ {
		s, err := p.take(ctx)
		if err != nil {
			return err
		}
		err = f(s)
		p.give(s)
		if err == nil || try > 0 || !errors.Is(err, driver.ErrBadConn) {
			return err
		}
	}
}

// close closes the idle sessions. No call is under way.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var all []error
	for _, s := range p.idle {
		all = append(all, s.close())
	}
	p.idle = nil
	return errors.Join(all...)
}
