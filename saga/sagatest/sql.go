package sagatest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:pairs sqlite* postgres*

var sqlChecks = []check{
	{"a run starts when and if the caller commits", startTx},
	{"jobs are inserted when and if the caller commits", enqueueTx},
	{"a handler's writes are part of its step's commit", handleTx},
	{"a handler's writes are gone when its step is not stored", handleTxFails},
	{"a process that ends in a handler's transaction leaves nothing", handleTxCrash},
	{"a large fork is part of a handler's transaction", handleTxFork},
	{"whichever call of the store fails, a handler's writes are there once", handleTxEveryCall},
	{"a slow transaction does not cost others their leases", handleTxSlow},
}

// table makes a table of the application's own.
func (x *fixture) table(n *node) {
	x.Helper()
	_, err := n.DB().ExecContext(x.ctx, "CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, n INTEGER)")
	require.NoError(x, err)
}

// orders counts the application's rows.
func (x *fixture) orders(n *node) (count int) {
	x.Helper()
	require.NoError(x, n.DB().QueryRowContext(x.ctx, "SELECT count(*) FROM orders").Scan(&count))
	return count
}

func (x *fixture) insert(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO orders (id) VALUES ("+x.pair.Param+")", id)
	return err
}

// L5, M1
func startTx(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[string]("svc/task")
	saga.Handle(n, task, func(_ context.Context, s string) (saga.Step, error) { return saga.Finish(s), nil })
	n.run()
	x.table(n)
	for _, commit := range []bool{false, true} {
		tx, err := n.DB().BeginTx(x.ctx, nil)
		require.NoError(x, err)
		require.NoError(x, x.insert(x.ctx, tx, "o1"))
		r, err := saga.StartTx(x.ctx, n.Router, tx, task, "v", saga.ID("run-1"))
		require.NoError(x, err)
		require.True(x, r.Started)
		if !commit {
			require.NoError(x, tx.Rollback())
			_, err := saga.Find(x.ctx, n.Router, "run-1")
			require.ErrorIs(x, err, saga.ErrNotFound)
			require.Zero(x, x.orders(n))
			require.Zero(x, x.counters())
			continue
		}
		require.NoError(x, tx.Commit())
		require.Equal(x, "v", result[string](x, r))
		require.Equal(x, 1, x.orders(n))
	}
	tx, err := n.DB().BeginTx(x.ctx, nil)
	require.NoError(x, err)
	_, err = saga.StartTx(x.ctx, n.Router, tx, task, "another", saga.ID("run-1"))
	require.ErrorIs(x, err, saga.ErrConflict)
	require.NoError(x, tx.Rollback())
}

// L5
func enqueueTx(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[int]("svc/task")
	var ran atomic.Int64
	saga.Handle(n, task, func(context.Context, int) (saga.Step, error) { ran.Add(1); return nil, nil })
	n.run()
	for _, commit := range []bool{false, true} {
		tx, err := n.DB().BeginTx(x.ctx, nil)
		require.NoError(x, err)
		require.NoError(x, saga.EnqueueTx(x.ctx, n.Router, tx, "batch", task, 1, 2, 3))
		if commit {
			require.NoError(x, tx.Commit())
		} else {
			require.NoError(x, tx.Rollback())
			n.looks(3)
			require.Zero(x, ran.Load())
		}
	}
	x.until("all have ended", func() bool { return x.counters().Done == 3 })
	require.Equal(x, int64(3), ran.Load())
}

// L5
func handleTx(x *fixture) {
	n := x.node(nil)
	reserve, next := saga.NewTask[string]("svc/reserve"), saga.NewTask[int]("svc/next")
	saga.HandleTx(n, reserve, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		if saga.Attempt(ctx) == 1 {
			return nil, errors.Join(x.insert(ctx, tx, id), errors.New("too early"))
		}
		return saga.Send(next, 1), x.insert(ctx, tx, id)
	})
	saga.Handle(n, next, func(context.Context, int) (saga.Step, error) { return saga.Finish(x.orders(n)), nil })
	n.run()
	x.table(n)
	require.Equal(x, 1, result[int](x, start(n, reserve, "o1")), "its writes and its children are there, once")
	start(n, reserve, "o1")
	x.letter() // the key is taken
	require.Equal(x, 1, x.orders(n))
}

// L5, R6
func handleTxFails(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[string]("svc/task")
	saga.HandleTx(n, task, func(ctx context.Context, tx *sql.Tx, what string) (saga.Step, error) {
		if err := x.insert(ctx, tx, what); err != nil {
			return nil, err
		}
		switch what {
		case "panic":
			panic("after the insert")
		case "invalid":
			return saga.Send(saga.NewTask[int]("no slash"), 1), nil
		case "contradiction":
			return saga.Do(saga.Send(task, "x").Named("n").After(time.Hour), saga.Send(task, "x").Named("n").After(time.Hour)), nil
		case "permanent":
			return nil, saga.Permanent(errors.New("no"))
		case "committed":
			return nil, tx.Commit()
		}
		return saga.Finish(what), nil
	}, saga.WithPolicy(step.Policy{Attempts: 1}))
	n.run()
	x.table(n)
	kinds := []string{"panic", "invalid", "contradiction", "permanent"}
	for _, what := range kinds {
		start(n, task, what)
	}
	x.until("dead letters", func() bool { return len(x.letters()) == len(kinds) })
	require.Zero(x, x.orders(n))
	require.Equal(x, "good", result[string](x, start(n, task, "good")))
	require.Equal(x, 1, x.orders(n))
}

// L5, M4
func handleTxCrash(x *fixture) {
	n := x.node(nil)
	task := saga.NewTask[string]("svc/task")
	entered, gate := make(chan struct{}), make(chan struct{})
	saga.HandleTx(n, task, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		defer func() { close(entered); <-gate }()
		return saga.Finish("first"), x.insert(ctx, tx, id)
	})
	n.run()
	x.table(n)
	r := start(n, task, "o1")
	get(x, entered)
	n.cut.Store(true)
	close(gate)
	n.end()
	x.closeWorkers()
	require.Zero(x, x.orders(n))
	n.stop()
	again := x.node(nil)
	saga.HandleTx(again, task, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		return saga.Finish("second"), x.insert(ctx, tx, id)
	})
	again.run()
	require.Equal(x, "second", result[string](x, find(again, r)))
	require.Equal(x, 1, x.orders(again))
}

// L5, F9, F1
func handleTxFork(x *fixture) {
	n := x.node(nil)
	task, child := saga.NewTask[string]("svc/task"), saga.NewTask[int]("svc/child")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.HandleTx(n, task, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		f := saga.ForkSeq(child, func(yield func(int) bool) {
			for i := range 1200 {
				if saga.Attempt(ctx) == 1 && i == 700 {
					panic("in the middle")
				}
				if !yield(i) {
					return
				}
			}
		})
		return saga.Do(f, saga.Join(saga.AllOf(f), end, 0)), x.insert(ctx, tx, id)
	})
	saga.Handle(n, child, func(context.Context, int) (saga.Step, error) { return nil, nil })
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) { return saga.Finish(j.Done), nil })
	n.run()
	x.table(n)
	require.Equal(x, 1200, result[int](x, start(n, task, "o1")))
	require.Equal(x, 1, x.orders(n))
	n.stop()
	require.Empty(x, rows[step.ChunkRow](x, store.Chunk))
}

// L5, R5
func handleTxEveryCall(x *fixture) {
	x.eachFault(x.pair.Store == "sqlite" && !x.pair.Brokered, x.handleTxFault)
}

// handleTxFault fails one call, and reports whether it came before the end.
func (x *fixture) handleTxFault(at int, fault storetest.Fault) (came bool) {
	y, id := fixtureAt(x.T, x.pair, x.place), fmt.Sprintf("fault %d at call %d", fault, at)
	calls := y.faultAt(at, fault)
	n := y.node(y.unhurried)
	reserve, next := saga.NewTask[string]("svc/reserve"), saga.NewTask[string]("svc/next")
	saga.HandleTx(n, reserve, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		return saga.Send(next, id+" next"), x.insert(ctx, tx, id)
	})
	saga.HandleTx(n, next, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		return saga.Finish(id), x.insert(ctx, tx, id)
	})
	n.run()
	y.table(n)
	before := y.orders(n)
	calls.armed.Store(true)
	r := start(n, reserve, id)
	require.Equal(y, id+" next", result[string](y, r))
	require.Equal(y, before+2, y.orders(n), id)
	for _, e := range y.history(r) {
		require.NotEqual(y, "attempt", e.Kind, e.Error)
	}
	needed := calls.n.Load()
	calls.armed.Store(false)
	y.end()
	return needed >= int64(at)
}

// handleTxSlow has the writer longer than a lease, and the other process
// can't beat meanwhile.
//
// L5, M5
func handleTxSlow(x *fixture) {
	short := func(c *router.Config) { c.Lease = lease }
	n, other := x.node(short), x.node(short)
	task, wait := saga.NewTask[string]("svc/task"), saga.NewTask[int]("other/wait")
	saga.HandleTx(n, task, func(ctx context.Context, tx *sql.Tx, id string) (saga.Step, error) {
		err := x.insert(ctx, tx, id)
		<-ctx.Done() // as long as it may
		return saga.Finish("done"), err
	}, saga.WithTimeout(3*lease))
	entered, gate := make(chan struct{}, 9), make(chan struct{})
	saga.Handle(other, wait, func(ctx context.Context, _ int) (saga.Step, error) {
		entered <- struct{}{}
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return saga.Finish(saga.Attempt(ctx)), ctx.Err()
	})
	n.run()
	other.run()
	x.table(n)
	waits := start(other, wait, 1)
	get(x, entered)
	keys := []int64{n.key(), other.key()}
	slow := start(n, task, "o1")
	require.Equal(x, "done", result[string](x, slow))
	for range 2 {
		beats := []int64{n.beats.Load(), other.beats.Load()}
		x.until("both beat", func() bool { return n.beats.Load() > beats[0] && other.beats.Load() > beats[1] })
	}
	require.Equal(x, keys, []int64{n.key(), other.key()})
	close(gate)
	require.Equal(x, 1, result[int](x, waits))
	require.Empty(x, entered)
}
