package engine

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/sqlite"
)

//semantics:stores memory

// M1, M2: a message from outside is taken in once for each consumer, and held
// by who took it.
func TestTake(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		defer w.start(e)()
		send := step.Send{Topic: "a", Payload: []byte("0"), Away: true}
		m, err := e.Take(w.Context(), "consumer", "id", send)
		require.NoError(w, err)
		require.Equal(w, e.Worker(), m.Worker)
		_, err = e.Take(w.Context(), "consumer", "id", send)
		require.ErrorIs(w, err, step.ErrNotMine)
		other, err := e.Take(w.Context(), "another consumer", "id", send)
		require.NoError(w, err)
		w.execute(e, m, nil)
		e.GiveBack(w.Context(), other)
		_, err = e.Take(w.Context(), "consumer", "id", send)
		require.ErrorIs(w, err, step.ErrNotMine, "also when it is done")
		require.Len(w, w.open(), 1)
		require.Zero(w, w.open()[0].Worker)
	})
}

func TestTakeWithoutAWorker(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		_, err := e.Take(w.Context(), "consumer", "id", step.Send{Topic: "a"})
		require.ErrorIs(w, err, store.ErrLeaseLost)
		require.Empty(w, w.open())
	})
}

// R4: decisions that contradict the run, or are over a limit, are the
// handler's fault: a dead letter, with the reason.
func TestInvalidDecisions(t *testing.T) {
	for name, decision := range map[string]step.Decision{
		"needs a run":  step.Finish{},
		"over a limit": step.Send{Topic: "a", Payload: make([]byte, 100)},
		"no name":      step.Send{},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{Limits: step.Limits{Payload: 10}})
				defer w.start(e)()
				defer w.handle(e, "a", 1, func(_ context.Context, u *step.Unit) error {
					u.Decide(decision)
					return nil
				})()
				w.send(e, "a", 1)
				synctest.Wait()
				w.ranOnce(1)
				require.Empty(w, w.open())
				require.Len(w, w.dead(), 1)
			})
		})
	}
}

func (w *world) dead() []*store.Row {
	w.Helper()
	found, err := w.inner.Find(context.Background(), store.Query{Rows: &store.RowQuery{Kind: store.Dead, AllOwners: true}})
	require.NoError(w, err)
	return found.Rows
}

// A message for a saga that can't take it is a dead letter, not a riddle: so
// is one whose key can't be told.
//
// C2, M6
func TestMessageThatIsNotAdmitted(t *testing.T) {
	for name, keyed := range map[string]func(*store.Message) (step.Keying, error){
		"a run of that id is no saga": func(*store.Message) (step.Keying, error) {
			return step.Keying{Saga: "svc/saga", Key: "r", Starts: true}, nil
		},
		"its key can't be told": func(*store.Message) (step.Keying, error) {
			return step.Keying{}, errors.New("no such value")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				e := w.engine(Config{Keyed: keyed})
				_, err := e.Commit(w.Context(), &step.Outcome{Verb: step.Begin, Start: &step.Start{RunID: "r", Task: "b/x", Nonce: "n"}})
				require.NoError(w, err)
				defer w.start(e)()
				defer w.handle(e, "a", 1, nil)()
				w.send(e, "a", 1)
				synctest.Wait()
				require.Empty(w, w.ran())
				require.Len(w, w.dead(), 1)
			})
		})
	}
}

// onSQLite runs an engine on a file of its own.
//
//semantics:stores sqlite
func onSQLite(t *testing.T, cfg Config) (*Engine, *sqlite.Store) {
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "t.db"), sqlite.Config{})
	require.NoError(t, err)
	t.Cleanup(func() {
		doctortest.Check(t, s)
		require.NoError(t, s.Close())
	})
	_, err = s.DB().ExecContext(t.Context(), "CREATE TABLE effects (id INTEGER)")
	require.NoError(t, err)
	cfg.Store = s
	e, err := New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return e, s
}

// begin sends a message and begins it.
func begin(t *testing.T, e *Engine) (context.Context, *step.Unit) {
	e.Host("a", 1)
	t.Cleanup(func() { e.Unhost("a", 1) })
	_, err := e.Commit(t.Context(), insertion("a", 1))
	require.NoError(t, err)
	return next(t, e)
}

func next(t *testing.T, e *Engine) (context.Context, *step.Unit) {
	m, err := e.Next(t.Context(), "a")
	require.NoError(t, err)
	ctx, u, err := e.Begin(t.Context(), m)
	require.NoError(t, err)
	return ctx, u
}

func effects(t *testing.T, db *sql.DB) (n int) {
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n))
	return n
}

// A handler's deadline ends with the handler; its transaction goes on to the
// step's commit.
//
// L5
//
//semantics:stores sqlite
func TestTransactionOutlivesTheHandlersDeadline(t *testing.T) {
	e, s := onSQLite(t, Config{})
	ctx, u := begin(t, e)
	handler, done := context.WithTimeout(ctx, time.Hour)
	tx, err := u.BeginTx(handler)
	require.NoError(t, err)
	_, err = tx.ExecContext(handler, "INSERT INTO effects VALUES (1)")
	require.NoError(t, err)
	done()
	require.NoError(t, e.End(ctx, u, nil))
	require.Equal(t, 1, effects(t, s.DB()))
	require.Zero(t, u.Message.Attempt)
}

// L5: what fails takes the handler's writes along.
//
//semantics:stores sqlite
func TestTransactionOfAFailedStep(t *testing.T) {
	e, s := onSQLite(t, Config{})
	ctx, u := begin(t, e)
	tx, err := u.BeginTx(ctx)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback()) // by the handler's mistake
	require.NoError(t, e.End(ctx, u, nil))
	ctx, u = next(t, e)
	require.Equal(t, 1, u.Message.Attempt, "that is a failed attempt: it must not spin")
	for range 3 {
		tx, err := u.BeginTx(ctx)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "INSERT INTO effects VALUES (1)")
		require.NoError(t, err)
		require.NoError(t, e.End(ctx, u, &step.RetryError{Err: errors.New("not yet")}))
		require.Zero(t, effects(t, s.DB()))
		ctx, u = next(t, e)
	}
	require.Equal(t, 4, u.Message.Attempt)
	require.NoError(t, e.End(ctx, u, nil))
}

// R5: a transaction that can't be begun is no attempt of the handler's.
//
//semantics:stores sqlite
func TestTransactionThatCanNotBegin(t *testing.T) {
	e, s := onSQLite(t, Config{})
	busy, err := s.DB().BeginTx(t.Context(), nil) // has the only writer
	require.NoError(t, err)
	_, err = busy.ExecContext(t.Context(), "INSERT INTO effects VALUES (1)")
	require.NoError(t, err)
	require.NoError(t, busy.Rollback())
	ctx, u := begin(t, e)
	late, cancel := context.WithCancel(ctx)
	cancel()
	_, err = u.BeginTx(late)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, step.ErrInterrupted, "this one is the handler's own")
	tx, err := u.BeginTx(ctx)
	require.NoError(t, err, "it may ask again")
	require.NoError(t, tx.Rollback())
	u.Tx = nil
	require.NoError(t, e.End(ctx, u, nil))
}

// L5
//
//semantics:stores sqlite
func TestCommitInTheCallersTransaction(t *testing.T) {
	e, s := onSQLite(t, Config{Poll: time.Hour})
	for _, commits := range []bool{false, true} {
		tx, err := s.DB().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO effects VALUES (1)")
		require.NoError(t, err)
		v, err := e.CommitTx(t.Context(), tx, insertion("a", 1))
		require.NoError(t, err)
		require.Equal(t, step.Applied, v.Code)
		if commits {
			require.NoError(t, tx.Commit())
		} else {
			require.NoError(t, tx.Rollback())
		}
	}
	require.Equal(t, 1, effects(t, s.DB()))
	e.Host("a", 1)
	defer e.Unhost("a", 1)
	ctx, u := next(t, e)
	require.NoError(t, e.End(ctx, u, nil))
}

// L5: a store without SQL says so.
func TestNoTransactionsWithoutSQL(t *testing.T) {
	inBubble(t, func(w *world) {
		e := w.engine(Config{})
		_, err := e.CommitTx(w.Context(), nil, insertion("a", 1))
		require.ErrorContains(w, err, "no SQL")
		defer w.start(e)()
		defer w.handle(e, "a", 1, func(_ context.Context, u *step.Unit) error {
			require.Nil(w, u.BeginTx)
			return nil
		})()
		w.send(e, "a", 1)
		synctest.Wait()
		w.ranOnce(1)
	})
}
