package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq" // also the driver of store/postgres
	"github.com/rabbitmq/amqp091-go"
	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// place is where one measurement has its rows and messages: a new file, a new
// database, or a part of a server that nobody else uses.
type place struct {
	store     string // URL
	transport string // URL; "" when messages travel through the store
	handover  string // router.Config.Handover
	service   string // begins the names of its topics; no other measurement has it
	file      string // of an sqlite store
	drops     []func(ctx context.Context) error
}

// place makes a new place.
func (b *bench) place(ctx context.Context) (*place, error) {
	p := &place{service: "bench-" + token(), handover: b.handover}
	if err := p.makeStore(ctx, b); err != nil {
		return nil, errors.Join(err, p.drop())
	}
	if !b.pair.brokered() {
		return p, nil
	}
	if err := p.makeTransport(b); err != nil {
		return nil, errors.Join(err, p.drop())
	}
	return p, nil
}

func (p *place) makeStore(ctx context.Context, b *bench) error {
	p.store = b.store
	u, err := url.Parse(b.store)
	if err != nil {
		return fmt.Errorf("store URL: %w", err)
	}
	switch u.Scheme {
	case "sqlite":
		return p.makeFile(b, u)
	case "postgres", "postgresql":
		return p.makeDatabase(ctx, u)
	case "redis", "rediss":
		p.makePrefix(u)
		p.store = u.String()
	}
	return nil
}

// makeFile names a new file, unless the URL has a path.
func (p *place) makeFile(b *bench, u *url.URL) error {
	if u.Opaque != "" || u.Host != "" || u.Path != "" {
		p.file = filepath.FromSlash(u.Host + u.Path + u.Opaque)
		return nil
	}
	path, err := b.file()
	if err != nil {
		return err
	}
	p.file, u.Path = path, filepath.ToSlash(path)
	p.store = u.String()
	p.drops = append(p.drops, func(context.Context) error { return os.RemoveAll(filepath.Dir(path)) })
	return nil
}

// makeDatabase makes a new database on the URL's server.
func (p *place) makeDatabase(ctx context.Context, u *url.URL) error {
	admin, name := u.String(), strings.ReplaceAll(p.service, "-", "_")
	if err := administer(ctx, admin, "CREATE DATABASE "+pq.QuoteIdentifier(name)); err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	p.drops = append(p.drops, func(ctx context.Context) error {
		return administer(ctx, admin, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name)+" WITH (FORCE)")
	})
	fresh := *u
	fresh.Path = "/" + name
	p.store = fresh.String()
	return nil
}

// administer runs a statement on a Postgres server.
func administer(ctx context.Context, rawURL, statement string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return err
	}
	q := u.Query()
	plain := url.Values{}
	if mode := q.Get("sslmode"); mode != "" { // other parameters are for millrace
		plain.Set("sslmode", mode)
	}
	u.RawQuery = plain.Encode()
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, statement)
	return err
}

// makePrefix has all keys begin with the service's name.
func (p *place) makePrefix(u *url.URL) {
	addQuery(u, url.Values{"prefix": {p.service}})
	server := *u
	server.RawQuery = ""
	p.drops = append(p.drops, func(ctx context.Context) error { return unlinkAll(ctx, server.String(), p.service) })
}

// unlinkAll deletes the keys that have a name in theirs.
func unlinkAll(ctx context.Context, rawURL, name string) error {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return err
	}
	c := redis.NewClient(o)
	defer c.Close()
	const piece = 1000
	for cursor := uint64(0); ; {
		keys, next, err := c.Scan(ctx, cursor, "*"+name+"*", piece).Result()
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := c.Unlink(ctx, keys...).Err(); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (p *place) makeTransport(b *bench) error {
	p.transport = b.transport
	u, err := url.Parse(b.transport)
	if err != nil {
		return fmt.Errorf("transport URL: %w", err)
	}
	switch u.Scheme {
	case "amqp", "amqps":
		server := *u
		server.RawQuery = ""
		p.drops = append(p.drops, func(ctx context.Context) error { return p.dropQueues(ctx, server.String()) })
	case "redis", "rediss":
		p.makePrefix(u)
		p.transport = u.String()
	}
	return nil
}

// dropQueues deletes those of the service, and the one on which the store is
// sent outcomes. A store in memory is gone, and nobody knows its name.
func (p *place) dropQueues(ctx context.Context, server string) error {
	names := []string{p.service, p.service + ".parked"}
	if s := scheme(p.store); s == "memory" || s == overGoChannel.store {
		return deleteQueues(server, names...)
	}
	s, err := store.Open(ctx, p.store, store.Options{})
	if err != nil {
		return errors.Join(err, deleteQueues(server, names...))
	}
	defer s.Close()
	b, err := s.Beat(ctx, store.Beat{Lease: time.Second})
	return errors.Join(err, deleteQueues(server, append(names, step.HomeTopic(b.Store))...))
}

// deleteQueues deletes queues of an AMQP server. One that does not exist is
// deleted already.
func deleteQueues(rawURL string, names ...string) error {
	conn, err := amqp091.Dial(rawURL)
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := ch.QueueDelete(name, false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// dropOrTell is drop. What can't be deleted stays, and is told.
func (p *place) dropOrTell() {
	if err := p.drop(); err != nil {
		slog.Warn("benchmarks: something was left behind", "service", p.service, "error", err)
	}
}

// drop deletes what the place has made.
func (p *place) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, drop := range slices.Backward(p.drops) { // the store last: it is asked
		errs = append(errs, drop(ctx))
	}
	p.drops = nil
	return errors.Join(errs...)
}
