package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// later measures chain3 on a store with n messages to the same service that
// fall due later, and beside it on one without: rounds on the one and on the
// other take turns. What is told is the round in the middle.
func later(ctx context.Context, b *bench) (line, error) {
	const rounds = 5
	runs := min(b.n, 4000)
	full, err := openRounds(ctx, b, rounds, runs)
	if err != nil {
		return line{}, err
	}
	defer full.close()
	filling, err := measure(func() error { return full.fill(ctx, b.n) })
	if err != nil {
		return line{}, err
	}
	empty, err := openRounds(ctx, b, rounds, runs)
	if err != nil {
		return line{}, err
	}
	defer empty.close()
	l, err := takeTurns(ctx, empty, full, rounds)
	if err != nil {
		return line{}, err
	}
	l.PendingPerS = filling.line(b.n, b.n).RunsPerS
	left, err := full.pending(ctx)
	l.Losses += b.n - left
	return l, err
}

// roundRig has a chain of handlers and a record for each round.
type roundRig struct {
	*rig
	records []*record
	firsts  []saga.Task[payload]
}

func openRounds(ctx context.Context, b *bench, rounds, runs int) (*roundRig, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	rr := &roundRig{rig: r}
	for i := range rounds {
		rec := newRecord(runs, 3)
		rr.records = append(rr.records, rec)
		rr.firsts = append(rr.firsts, chain(r, r.service, fmt.Sprintf("round%d-", i), 3, rec.enter))
	}
	if err := r.start(ctx); err != nil {
		r.close()
		return nil, err
	}
	return rr, nil
}

// takeTurns measures the rounds, and returns the one of full whose slow-down
// is in the middle.
func takeTurns(ctx context.Context, empty, full *roundRig, rounds int) (line, error) {
	var all []line
	duplicates, losses := 0, 0
	for i := range rounds {
		without, err := empty.drive(ctx, empty.records[i], empty.firsts[i])
		if err != nil {
			return line{}, err
		}
		with, err := full.drive(ctx, full.records[i], full.firsts[i])
		if err != nil {
			return line{}, err
		}
		with.AlonePerS = without.StepsPerS
		with.Slowdown = 1 - with.StepsPerS/without.StepsPerS
		duplicates += with.Duplicates + without.Duplicates
		losses += with.Losses + without.Losses
		all = append(all, with)
	}
	slices.SortFunc(all, func(x, y line) int { return compare(x.Slowdown, y.Slowdown) })
	l := all[rounds/2]
	l.Duplicates, l.Losses = duplicates, losses
	return l, nil
}

// fill inserts messages that fall due from tomorrow on, a second apart.
func (rr *roundRig) fill(ctx context.Context, n int) error {
	due := time.Now().Add(24 * time.Hour)
	return share(ctx, rr.bench.clients, (n+bulk-1)/bulk, func(ctx context.Context, i int) error {
		out := &step.Outcome{
			Verb:   step.Insert,
			Source: &step.Source{Consumer: rr.service, ID: fmt.Sprint(i), Retention: time.Hour},
		}
		for j := i * bulk; j < min(n, (i+1)*bulk); j++ {
			data, err := json.Marshal(newPayload(j, 0))
			if err != nil {
				return err
			}
			at := store.At(due.Add(time.Duration(j) * time.Second))
			out.Sends = append(out.Sends, step.Send{Task: rr.firsts[0].Name(), Payload: data, At: at})
		}
		_, err := rr.Commit(ctx, out)
		return err
	})
}
