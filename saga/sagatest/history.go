package sagatest

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var historyChecks = []check{
	{"a history that was tampered with does not verify", tampered},
	{"replaying a history yields the stored run", replayed},
}

// busyRun is a run of all sorts of steps, long enough for pages.
func busyRun(x *fixture) saga.Run {
	x.Helper()
	n := x.node(nil)
	a, b, undo := saga.NewTask[int]("svc/a"), saga.NewTask[int]("svc/b"), saga.NewTask[int]("svc/undo")
	end := saga.NewTask[saga.Joined[int]]("svc/end")
	saga.Handle(n, a, func(_ context.Context, v int) (saga.Step, error) {
		f := saga.Fork(b, 1, 2, 3, 4, 5, 6, 7, 8)
		return saga.Do(f, saga.Join(saga.AllOf(f), end, v), saga.Undo(undo, v), saga.Record("note", "text"), saga.Emit(event(v), v)), nil
	})
	saga.Handle(n, b, func(ctx context.Context, v int) (saga.Step, error) {
		if v%3 == 0 && saga.Attempt(ctx) == 1 {
			return nil, errors.New("again")
		}
		return saga.Return(v), nil
	})
	saga.Handle(n, undo, func(context.Context, int) (saga.Step, error) { return nil, nil })
	saga.Handle(n, end, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) {
		if j.Data == 5 {
			return saga.Fail("enough"), nil
		}
		return saga.Send(a, j.Data+1), nil
	})
	n.run()
	r := start(n, a, 0)
	require.ErrorIs(x, r.Result(x.ctx, nil), saga.ErrFailed)
	return r
}

// H1
func tampered(x *fixture) {
	r := busyRun(x)
	row := x.row(r)
	pages := x.pages(row)
	require.GreaterOrEqual(x, len(pages), 2)
	entries, err := step.Verify(row, pages)
	require.NoError(x, err)
	require.Len(x, entries, row.Entries)
	require.True(x, slices.IsSortedFunc(entries, func(a, b step.Entry) int { return int(a.At - b.At) }))

	spoil := func(what string, change func(r *store.Run, p []step.PageRow) []step.PageRow) {
		r, p := *row, make([]step.PageRow, len(pages))
		for i := range p {
			p[i].Entries = bytes.Clone(pages[i].Entries)
		}
		r.Tail = bytes.Clone(r.Tail)
		p = change(&r, p)
		_, err := step.Verify(&r, p)
		require.ErrorIs(x, err, step.ErrHistory, what)
	}
	for i := range len(row.Tail) { // every single byte
		spoil("a flipped byte", func(r *store.Run, p []step.PageRow) []step.PageRow { r.Tail[i] ^= 1; return p })
	}
	for i := 0; i < len(pages[0].Entries); i += 7 {
		spoil("a flipped byte", func(_ *store.Run, p []step.PageRow) []step.PageRow { p[0].Entries[i] ^= 0x80; return p })
	}
	spoil("swapped pages", func(_ *store.Run, p []step.PageRow) []step.PageRow { p[0], p[1] = p[1], p[0]; return p })
	spoil("a removed page", func(_ *store.Run, p []step.PageRow) []step.PageRow { return p[1:] })
	spoil("a foreign page", func(_ *store.Run, p []step.PageRow) []step.PageRow { p[1] = p[0]; return p })
	if len(row.Tail) > 0 {
		spoil("a cut tail", func(r *store.Run, p []step.PageRow) []step.PageRow { r.Tail = nil; return p })
	}
	spoil("another head", func(r *store.Run, p []step.PageRow) []step.PageRow { r.Head[3] ^= 1; return p })
	spoil("a hidden page", func(r *store.Run, p []step.PageRow) []step.PageRow {
		r.Pages, r.Tail = r.Pages-1, nil
		return p[:len(p)-1]
	})
}

// H2
func replayed(x *fixture) {
	r := busyRun(x)
	row := x.row(r)
	entries := x.history(r)
	got, err := step.Replay(entries)
	require.NoError(x, err)
	require.Equal(x, store.Failed, got.Status)
	require.Equal(x, store.Run{
		Status: row.Status, Open: row.Open, Waiting: row.Waiting, Dead: row.Dead, Undos: row.Undos, State: row.State,
		Revision: row.Revision, Result: row.Result, Error: row.Error, Started: row.Started, Updated: row.Updated,
		Ended: row.Ended, Entries: row.Entries,
	}, got)
	require.Equal(x, entries[len(entries)-1].At, got.Ended, "the entries' times are the clock")
}
