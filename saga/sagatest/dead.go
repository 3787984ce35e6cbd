package sagatest

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var deadChecks = []check{
	{"a dead letter is kept as it was, and sent again", deadRequeued},
	{"a dead letter is edited, old and new kept", deadEdited},
	{"a dead letter is discarded", deadDiscarded},
	{"a dead letter leaves its run open, fails it, or compensates", deadAndRun},
}

// letters returns the dead letters with their keys.
func (x *fixture) letters() map[int64]step.DeadRow {
	x.Helper()
	found, err := x.look().Find(context.Background(), store.Query{Rows: &store.RowQuery{Kind: store.Dead}, Limit: 1000})
	require.NoError(x, err)
	out := map[int64]step.DeadRow{}
	for _, row := range found.Rows {
		seq, ok := store.ParseNum(row.Name)
		require.True(x, ok)
		var d step.DeadRow
		require.NoError(x, store.Unmarshal(row.Body, &d))
		out[seq] = d
	}
	return out
}

// letter waits for the one dead letter.
func (x *fixture) letter() (seq int64, d step.DeadRow) {
	x.Helper()
	x.until("a dead letter", func() bool { return len(x.letters()) == 1 })
	for seq, d = range x.letters() {
		return seq, d
	}
	return 0, d
}

// mending is a task that fails until it is mended.
func mending(n *node, mended *atomic.Bool) saga.Task[string] {
	task := saga.NewTask[string]("svc/task")
	saga.Handle(n, task, func(ctx context.Context, v string) (saga.Step, error) {
		if !mended.Load() {
			return nil, errors.New("broken")
		}
		return saga.Finish([]any{v, saga.Attempt(ctx), saga.MessageID(ctx)}), nil
	})
	return task
}

// R4
func deadRequeued(x *fixture) {
	n := x.node(nil)
	var mended atomic.Bool
	task := mending(n, &mended)
	n.run()
	r := start(n, task, "v", saga.Meta("k", "m"))
	seq, d := x.letter()
	require.Equal(x, []byte(`"v"`), d.Message.Payload)
	require.Equal(x, "m", d.Message.Meta["k"])
	require.Equal(x, r.ID, d.Message.RunID)
	require.Equal(x, 3, d.Message.Attempt)
	require.Len(x, rows[step.AttemptRow](x, store.Attempt), 3)
	require.Equal(x, store.Running, x.row(r).Status)

	requeue := &step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq}}
	_, err := n.Commit(x.ctx, requeue)
	require.NoError(x, err)
	again, _ := x.letter()
	require.NotEqual(x, seq, again)
	require.Len(x, rows[step.AttemptRow](x, store.Attempt), 6, "all attempts are kept")
	v, err := n.Commit(x.ctx, requeue)
	require.NoError(x, err)
	require.Equal(x, step.Missing, v.Code, "twice is once")

	mended.Store(true)
	_, err = n.Commit(x.ctx, &step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: again}})
	require.NoError(x, err)
	require.Equal(x, []any{"v", 1.0, d.Message.ID}, result[[]any](x, r))
	require.Empty(x, x.letters())
}

// R4
func deadEdited(x *fixture) {
	n := x.node(nil)
	var mended atomic.Bool
	task := mending(n, &mended)
	n.run()
	r := start(n, task, "typo")
	seq, _ := x.letter()
	mended.Store(true)
	payload := []byte(`"text"`)
	_, err := n.Commit(x.ctx, &step.Outcome{Verb: step.Requeue, Dead: &step.DeadOp{Seq: seq, Payload: &payload}})
	require.NoError(x, err)
	require.Equal(x, "text", result[[]any](x, r)[0])
	kept := false
	for _, e := range x.history(r) {
		for _, note := range e.Records {
			kept = kept || string(note.Data) == `"typo"`
		}
	}
	require.True(x, kept)
}

// R4, N2
func deadDiscarded(x *fixture) {
	n := x.node(nil)
	task := mending(n, new(atomic.Bool))
	n.run()
	r := start(n, task, "v")
	seq, _ := x.letter()
	_, err := n.Commit(x.ctx, &step.Outcome{Verb: step.Discard, Dead: &step.DeadOp{Seq: seq, Reason: "not worth it"}})
	require.NoError(x, err)
	require.NoError(x, r.Result(x.ctx, nil), "nothing of it is open any more")
	entries := x.history(r)
	require.Equal(x, "not worth it", entries[len(entries)-1].Error)
	require.Equal(x, step.CounterRow{Accepted: 1, Cancelled: 1}, x.counters())
	require.Empty(x, rows[step.AttemptRow](x, store.Attempt))
}

// R4, N3
func deadAndRun(x *fixture) {
	n := x.node(nil)
	begin, bad, undo := saga.NewTask[int]("svc/begin"), saga.NewTask[int]("svc/bad"), saga.NewTask[int]("svc/undo")
	var undone atomic.Int64
	saga.Handle(n, begin, func(context.Context, int) (saga.Step, error) {
		return saga.Do(saga.Undo(undo, 1), saga.Send(bad, 1)), nil
	})
	saga.Handle(n, bad, func(context.Context, int) (saga.Step, error) { return nil, saga.Permanent(errors.New("bad luck")) })
	saga.Handle(n, undo, func(context.Context, int) (saga.Step, error) { undone.Add(1); return nil, nil })
	n.run()
	open := start(n, begin, 1)
	x.letter()
	require.Equal(x, store.Running, x.row(open).Status)

	err := start(n, begin, 1, saga.OnDead(step.FailRun)).Result(x.ctx, nil)
	require.ErrorIs(x, err, saga.ErrFailed)
	require.ErrorContains(x, err, "bad luck")
	require.Zero(x, undone.Load())

	err = start(n, begin, 1, saga.OnDead(step.Compensate)).Result(x.ctx, nil)
	require.ErrorIs(x, err, saga.ErrFailed)
	require.Equal(x, int64(1), undone.Load())
}
