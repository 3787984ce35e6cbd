package main

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite" // the driver of store/sqlite
)

// sqliteLimit measures a file beside the store's, set up as the store is, on
// one connection and on two. It speaks to the driver itself, as the store
// does: through database/sql it is a quarter less.
func sqliteLimit(ctx context.Context, b *bench) (float64, error) {
	u, err := url.Parse(b.store)
	if err != nil {
		return 0, err
	}
	synchronous := u.Query().Get("synchronous")
	if synchronous == "" {
		synchronous = "full"
	}
	best := 0.0
	for conns := 1; conns <= 2; conns++ {
		path, err := b.file()
		if err != nil {
			return 0, err
		}
		v, err := sqliteRate(ctx, path, synchronous, conns, b.limitFor)
		if err != nil {
			return 0, fmt.Errorf("on %d connections: %w", conns, err)
		}
		best = max(best, v)
	}
	return best, nil
}

// sqliteRate makes transitions on so many connections for d, and returns how
// many of them there were in a second.
func sqliteRate(ctx context.Context, path, synchronous string, conns int, d time.Duration) (float64, error) {
	defer remove(filepath.Dir(path))
	connector, err := sqlite.NewConnector("file:" + filepath.ToSlash(path) +
		"?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)&_pragma=wal_autocheckpoint(4000)" +
		"&_pragma=cache_size(-65536)&_pragma=synchronous(" + synchronous + ")")
	if err != nil {
		return 0, err
	}
	all := make([]*transitions, conns)
	for i := range all {
		if all[i], err = newTransitions(ctx, connector, int64(i)<<40); err != nil {
			return 0, err
		}
		defer func() { _ = all[i].close() }()
	}
	return race(all, d)
}

// race lets the loops run at once for d, and returns the transitions in a
// second of all together.
func race(loops []*transitions, d time.Duration) (float64, error) {
	var all sync.WaitGroup
	errs := make([]error, len(loops))
	begun := time.Now()
	for i, t := range loops {
		all.Go(func() { errs[i] = t.run(begun.Add(d)) })
	}
	all.Wait()
	took := time.Since(begun)
	total := 0
	for _, t := range loops {
		total += t.done
	}
	return float64(total) / took.Seconds(), errors.Join(errs...)
}

const transitionTable = "CREATE TABLE IF NOT EXISTS transitions (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"

// transitions goes through a table on one connection: new rows at its head,
// changes in the middle, deletions at its tail.
type transitions struct {
	conn  driver.Conn
	first int64
	done  int

	begin, commit, insert, update, remove driver.Stmt
}

func newTransitions(ctx context.Context, c driver.Connector, first int64) (*transitions, error) {
	conn, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	t := &transitions{conn: conn, first: first}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, transitionTable, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	for text, into := range map[string]*driver.Stmt{
		"BEGIN IMMEDIATE": &t.begin, "COMMIT": &t.commit,
		"INSERT INTO transitions (seq, body) VALUES (?1, ?2)": &t.insert,
		"UPDATE transitions SET body = ?2 WHERE seq = ?1":     &t.update,
		"DELETE FROM transitions WHERE seq = ?1":              &t.remove,
	} {
		if *into, err = conn.Prepare(text); err != nil {
			return nil, errors.Join(err, t.close())
		}
	}
	return t, nil
}

func (t *transitions) close() error {
	for _, s := range []driver.Stmt{t.begin, t.commit, t.insert, t.update, t.remove} {
		if s != nil {
			_ = s.Close() // closing the connection tells what matters
		}
	}
	return t.conn.Close()
}

// run counts transitions until the time is up.
func (t *transitions) run(until time.Time) error {
	body := make([]byte, rowSize)
	for time.Now().Before(until) {
		if err := t.transaction(body); err != nil {
			return err
		}
		t.done += transitionsInTx
	}
	return nil
}

func (t *transitions) transaction(body []byte) error {
	if err := exec(t.begin); err != nil {
		return err
	}
	from := t.first + int64(t.done)
	for seq := from; seq < from+transitionsInTx; seq++ {
		err := exec(t.insert, seq, body)
		if err == nil {
			err = exec(t.update, seq-rowsBefore/2, body)
		}
		if err == nil {
			err = exec(t.remove, seq-rowsBefore)
		}
		if err != nil {
			return err
		}
	}
	return exec(t.commit)
}

func exec(s driver.Stmt, args ...driver.Value) error {
	named := make([]driver.NamedValue, len(args))
	for i, v := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	_, err := s.(driver.StmtExecContext).ExecContext(context.Background(), named)
	return err
}
