package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver of store/sqlite
)

// sqliteLimit measures a file beside the store's, set up as the store is, on
// one connection and on two.
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
			return 0, err
		}
		best = max(best, v)
	}
	return best, nil
}

func sqliteRate(ctx context.Context, path, synchronous string, conns int, d time.Duration) (float64, error) {
	defer remove(filepath.Dir(path))
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(path)+"?_pragma=busy_timeout(30000)&_pragma=journal_mode(wal)"+
		"&_pragma=wal_autocheckpoint(4000)&_pragma=cache_size(-65536)&_txlock=immediate&_pragma=synchronous("+synchronous+")")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE transitions (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"); err != nil {
		return 0, err
	}
	return race(conns, d, func(conn int, until time.Time) (int, error) {
		t := &transitions{db: db, first: int64(conn) << 40}
		return t.run(ctx, until)
	})
}

// race lets so many loops run at once for d, and
// returns the transitions in a second of all together.
func race(conns int, d time.Duration, loop func(conn int, until time.Time) (int, error)) (float64, error) {
	var all sync.WaitGroup
	done, errs := make([]int, conns), make([]error, conns)
	begun := time.Now()
	for i := range conns {
		all.Go(func() { done[i], errs[i] = loop(i, begun.Add(d)) })
	}
	all.Wait()
	total := 0
	for i := range conns {
		if errs[i] != nil {
			return 0, fmt.Errorf("on %d connections: %w", conns, errs[i])
		}
		total += done[i]
	}
	return float64(total) / time.Since(begun).Seconds(), nil
}

// transitions goes through a table on one connection: new rows at its head,
// changes in the middle, deletions at its tail.
type transitions struct {
	db    *sql.DB
	first int64
	stmts [3]*sql.Stmt // insert, update, delete
	body  []byte
}

var transitionSQL = [3]string{
	"INSERT INTO transitions (seq, body) VALUES (?1, ?2)",
	"UPDATE transitions SET body = ?2 WHERE seq = ?1",
	"DELETE FROM transitions WHERE seq = ?1",
}

// run fills the table, then counts transitions until the time is up.
func (t *transitions) run(ctx context.Context, until time.Time) (int, error) {
	conn, err := t.db.Conn(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	for i, text := range transitionSQL {
		if t.stmts[i], err = conn.PrepareContext(ctx, text); err != nil {
			return 0, err
		}
		defer t.stmts[i].Close()
	}
	t.body = make([]byte, rowSize)
	n := 0
	for time.Now().Before(until) {
		if err := t.transaction(ctx, conn, t.first+int64(n)); err != nil {
			return 0, err
		}
		n += transitionsInTx
	}
	return n, nil
}

func (t *transitions) transaction(ctx context.Context, conn *sql.Conn, from int64) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert, update, remove := tx.Stmt(t.stmts[0]), tx.Stmt(t.stmts[1]), tx.Stmt(t.stmts[2])
	for seq := from; seq < from+transitionsInTx; seq++ {
		if _, err := insert.Exec(seq, t.body); err != nil {
			return err
		}
		if _, err := update.Exec(seq-rowsBefore/2, t.body); err != nil {
			return err
		}
		if _, err := remove.Exec(seq - rowsBefore); err != nil {
			return err
		}
	}
	return tx.Commit()
}
