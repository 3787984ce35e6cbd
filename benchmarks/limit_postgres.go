package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/lib/pq" // the driver of store/postgres
)

// postgresLimit measures a table beside the store's, on two connections, on
// three and on four. The rows of a transaction are inserted, changed and
// deleted by three statements, with arrays: one by one, round trips are all
// that is measured.
func postgresLimit(ctx context.Context, b *bench) (float64, error) {
	u, err := url.Parse(b.store)
	if err != nil {
		return 0, err
	}
	db, err := sql.Open("postgres", withoutOwn(u).String())
	if err != nil {
		return 0, err
	}
	defer db.Close()
	table := pq.QuoteIdentifier("limit_" + token())
	_, err = db.ExecContext(ctx, "CREATE TABLE "+table+" (seq bigint PRIMARY KEY, body bytea NOT NULL)")
	if err != nil {
		return 0, err
	}
	defer func() { _, _ = db.ExecContext(context.WithoutCancel(ctx), "DROP TABLE "+table) }()
	best := 0.0
	for conns := 2; conns <= 4; conns++ {
		v, err := postgresRate(ctx, db, table, conns, b.limitFor)
		if err != nil {
			return 0, fmt.Errorf("on %d connections: %w", conns, err)
		}
		best = max(best, v)
	}
	return best, nil
}

// withoutOwn drops the settings of a URL that are the store's, not the driver's.
func withoutOwn(u *url.URL) *url.URL {
	plain, q := *u, u.Query()
	for _, key := range []string{"pool", "caller_pool", "statement_timeout", "idle_timeout", "wake_every"} {
		q.Del(key)
	}
	plain.RawQuery = q.Encode()
	return &plain
}

// postgresRate makes transitions on so many connections for d, and returns how
// many of them there were in a second.
func postgresRate(ctx context.Context, db *sql.DB, table string, conns int, d time.Duration) (float64, error) {
	loops, errs := make([]*pgTransitions, conns), make([]error, conns)
	for i := range loops {
		t, err := newPGTransitions(ctx, db, table, int64(conns*10+i)<<40)
		if err != nil {
			return 0, err
		}
		defer t.conn.Close()
		loops[i] = t
	}
	var all sync.WaitGroup
	begun := time.Now()
	for i, t := range loops {
		all.Go(func() { errs[i] = t.run(ctx, begun.Add(d)) })
	}
	all.Wait()
	took := time.Since(begun)
	total := 0
	for _, t := range loops {
		total += t.done
	}
	return float64(total) / took.Seconds(), errors.Join(errs...)
}

// pgTransitions goes through a table on one connection: new rows at its head,
// changes in the middle, deletions at its tail.
type pgTransitions struct {
	conn   *sql.Conn
	first  int64
	done   int
	bodies pq.ByteaArray

	insert, update, remove *sql.Stmt
}

func newPGTransitions(ctx context.Context, db *sql.DB, table string, first int64) (*pgTransitions, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &pgTransitions{conn: conn, first: first, bodies: make(pq.ByteaArray, transitionsInTx)}
	for i := range t.bodies {
		t.bodies[i] = make([]byte, rowSize)
	}
	for text, into := range map[string]**sql.Stmt{
		"INSERT INTO %s (seq, body) SELECT * FROM unnest($1::bigint[], $2::bytea[])":                                &t.insert,
		"UPDATE %s t SET body = u.body FROM unnest($1::bigint[], $2::bytea[]) AS u (seq, body) WHERE t.seq = u.seq": &t.update,
		"DELETE FROM %s WHERE seq = ANY ($1::bigint[])":                                                             &t.remove,
	} {
		if *into, err = conn.PrepareContext(ctx, fmt.Sprintf(text, table)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return t, nil
}

// run counts transitions until the time is up.
func (t *pgTransitions) run(ctx context.Context, until time.Time) error {
	for time.Now().Before(until) {
		if err := t.transaction(ctx); err != nil {
			return err
		}
		t.done += transitionsInTx
	}
	return nil
}

func (t *pgTransitions) transaction(ctx context.Context) error {
	tx, err := t.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.StmtContext(ctx, t.insert).ExecContext(ctx, t.seqs(0), t.bodies); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, t.update).ExecContext(ctx, t.seqs(-rowsBefore/2), t.bodies); err != nil {
		return err
	}
	if _, err := tx.StmtContext(ctx, t.remove).ExecContext(ctx, t.seqs(-rowsBefore)); err != nil {
		return err
	}
	return tx.Commit()
}

// seqs are those of a transaction, moved by so many.
func (t *pgTransitions) seqs(by int64) pq.Int64Array {
	seqs := make(pq.Int64Array, transitionsInTx)
	for i := range seqs {
		seqs[i] = t.first + int64(t.done) + int64(i) + by
	}
	return seqs
}
