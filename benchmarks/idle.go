package main

import (
	"context"
	"database/sql"
	"fmt"
)

// onPostgres fits stores on Postgres.
func onPostgres(p pair) bool { return scheme(p.store) == "postgres" || scheme(p.store) == "postgresql" }

// idle measures chain3, n messages of it, while an idle transaction is held
// open in the same database, against the same without: rows that died since
// that transaction began can't be removed.
func idle(ctx context.Context, b *bench) (line, error) {
	runs := max(b.n/chain3Steps, 1)
	free, err := whileHeld(ctx, b, runs, false)
	if err != nil {
		return line{}, err
	}
	l, err := whileHeld(ctx, b, runs, true)
	if err != nil {
		return line{}, err
	}
	l.AlonePerS, l.Slowdown = free.StepsPerS, 1-l.StepsPerS/free.StepsPerS
	l.Duplicates += free.Duplicates
	l.Losses += free.Losses
	return l, nil
}

// whileHeld measures chain3 on a new database.
func whileHeld(ctx context.Context, b *bench, runs int, held bool) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(runs, chain3Steps)
	first := bindChain3(r, r.service, rec.enter)
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	if held {
		tx, err := hold(ctx, r.DB())
		if err != nil {
			return line{}, fmt.Errorf("hold a transaction open: %w", err)
		}
		defer func() { _ = tx.Rollback() }()
	}
	return r.drive(ctx, rec, first)
}

// hold begins a transaction that has a snapshot and a number.
func hold(ctx context.Context, db *sql.DB) (*sql.Tx, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_current_xact_id()"); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}
