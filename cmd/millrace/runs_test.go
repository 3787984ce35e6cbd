//semantics:stores sqlite

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

func TestRunsList(t *testing.T) {
	s := busyShop(t)
	require.Equal(t, strings.TrimPrefix(`
RUN  TASK  STATUS  OPEN  DEAD  STARTED  UPDATED  ERROR
sum-1  shop/sum  finished  0  0  (when)  (when)  -
order-1  shop/place  running  3  1  (when)  (when)  -
`, "\n"), steady(s.does(t, "runs", "list")))

	ids := func(args ...string) (all []string) {
		for _, l := range lines[runLine](t, s.does(t, append([]string{"runs", "list", "--json"}, args...)...)) {
			all = append(all, l.ID)
		}
		return all
	}
	require.Equal(t, []string{"sum-1", "order-1"}, ids())
	require.Equal(t, []string{"order-1", "sum-1"}, ids("--newest"))
	require.Equal(t, []string{"order-1"}, ids("--newest", "--limit=1"))
	require.Equal(t, []string{"sum-1"}, ids("--status=finished,failed"))
	require.Equal(t, []string{"order-1"}, ids("--status=running", "--status=stalled"))
	require.Empty(t, ids("--status=cancelled"))
	require.Contains(t, s.fails(t, "runs", "list", "--status=odd"), `unknown status "odd"`)
}

// More runs than one page of the store's.
func TestRunsListAll(t *testing.T) {
	s := newShop(t)
	s.open(t, func(ctx context.Context, r *router.Router) {
		for i := range 250 {
			h, err := saga.Start(ctx, r, sum, []int{i}, saga.ID(fmt.Sprintf("run-%03d", i)))
			require.NoError(t, err)
			require.NoError(t, h.Result(ctx, nil))
		}
	})
	all := lines[runLine](t, s.does(t, "runs", "list", "--limit=0", "--json"))
	require.Len(t, all, 250)
	require.Equal(t, "run-249", all[249].ID)
	require.Len(t, lines[runLine](t, s.does(t, "runs", "list", "--json")), 50)
}

// N4: how it stands, and what it waits for.
func TestRunsShow(t *testing.T) {
	s := busyShop(t)
	require.Equal(t, strings.TrimPrefix(`
run  order-1
task  shop/place
status  running
open  3, of these dead letters: 1
undos  1
started  (when)
updated  (when)

open messages
MESSAGE  TASK  NAME  FAILED  WAITS FOR
(id)  shop/notify  reminder  0  (when), in (time)
(id)  (tick)  -  0  (when), in (time)

open joins
JOIN  THEN  MISSING  ARRIVED  DEADLINE  ELSE
both  shop/ship  charged  packed  (when), in (time)  shop/expire

dead letters
SEQ  AT  TASK  RUN  STATUS  FAILED  REASON
5  (when)  shop/charge  order-1  running  1  card refused

history, 3 of 3 entries
TIME  ENTRY  TASK  STATUS  WHAT
(when)  started  shop/place  -  sent shop/place
(when)  step  shop/place  -  sent shop/charge, shop/notify; emitted packed; opened both
(when)  dead  shop/charge  -  card refused
`, "\n"), steady(s.does(t, "runs", "show", "order-1")))

	done := s.does(t, "runs", "show", "sum-1")
	require.Contains(t, done, "status    finished\n")
	require.Contains(t, done, "result    3\n")
	require.Contains(t, s.fails(t, "runs", "show", "nobody"), "run nobody: not found")
}

// N4
func TestRunsShowForPrograms(t *testing.T) {
	s := busyShop(t)
	d := of[runDocument](t, s.does(t, "runs", "show", "order-1", "--json"))
	require.Equal(t, "running", d.Status)
	require.Equal(t, []int{3, 1, 1, 3}, []int{d.Open, d.Dead, d.Undos, d.Entries})
	require.Equal(t, "reminder", d.Waits.Messages[0].Name)
	require.Equal(t, "later", d.Waits.Messages[0].State)
	require.Equal(t, openJoin{
		Name: "both", Mode: "all", Need: 1, Missing: []string{"charged"}, Arrived: []string{"packed"},
		Deadline: d.Waits.Joins[0].Deadline, Then: "shop/ship", Else: "shop/expire",
	}, d.Waits.Joins[0])
	require.Equal(t, "card\nrefused", d.Waits.Dead[0].Reason)
	require.Equal(t, "started", d.History[0].Kind)
	require.False(t, d.History[2].At.Before(d.Started))

	d = of[runDocument](t, s.does(t, "runs", "show", "order-1", "--json", "--history=1", "--limit=1"))
	require.Len(t, d.History, 1)
	require.Len(t, d.Waits.Messages, 1)
	require.True(t, d.Waits.More)
	require.Equal(t, "3", string(of[runDocument](t, s.does(t, "runs", "show", "sum-1", "--json")).Result))
}

// M5, N4: who holds a message is visible.
func TestRunsShowWhoWorks(t *testing.T) {
	s := newShop(t)
	s.open(t, func(ctx context.Context, r *router.Router) {
		_, err := saga.Start(ctx, r, hold, 1, saga.ID("held"))
		require.NoError(t, err)
		s.await(t, 1)
		d := of[runDocument](t, s.does(t, "runs", "show", "held", "--json"))
		host, err := os.Hostname()
		require.NoError(t, err)
		require.Equal(t, "held", d.Waits.Messages[0].State)
		require.Equal(t, fmt.Sprintf("%s pid %d", host, os.Getpid()), d.Waits.Messages[0].Holder)
		close(s.letGo)
	})
	require.Contains(t, s.does(t, "runs", "show", "held"), "finished")
}

// N3, C1: what it leaves to do is done by whoever runs the service.
func TestRunsCancel(t *testing.T) {
	s := busyShop(t)
	require.Contains(t, s.fails(t, "runs", "cancel", "order-1"), "--reason")
	require.Contains(t, s.fails(t, "runs", "cancel", "nobody", "--reason=x"), "run nobody: not found")

	require.Contains(t, s.does(t, "runs", "cancel", "order-1", "--reason=customer gave up"), "run order-1 is failing")
	d := of[runDocument](t, s.does(t, "runs", "show", "order-1", "--json"))
	require.Equal(t, "customer gave up", d.Error)
	require.Empty(t, d.Waits.Joins)
	require.Len(t, d.Waits.Messages, 1)
	require.Equal(t, "shop/refund", d.Waits.Messages[0].Task)
	require.Contains(t, s.fails(t, "runs", "cancel", "order-1", "--reason=again"), "run order-1 is failing already")
	require.Contains(t, s.fails(t, "runs", "cancel", "sum-1", "--reason=late"), "run sum-1 is finished already")

	s.open(t, func(ctx context.Context, r *router.Router) {
		h, err := saga.Find(ctx, r, "order-1")
		require.NoError(t, err)
		require.ErrorIs(t, h.Result(ctx, nil), saga.ErrCancelled)
		doctortest.Check(t, r.Store())
	})
	require.Contains(t, s.does(t, "runs", "list"), "cancelled")
}

// H1: what verifies of a damaged history is shown, and that it is damaged.
func TestRunsShowDamagedHistory(t *testing.T) {
	s := busyShop(t)
	s.harm(t, func(snap *store.Snapshot) *store.Changes {
		r := *snap.RunIDs["order-1"]
		r.Tail = append([]byte(nil), r.Tail...)
		r.Tail[len(r.Tail)-1] ^= 1
		return &store.Changes{PutRuns: []*store.Run{&r}}
	})
	d := of[runDocument](t, s.does(t, "runs", "show", "order-1", "--json"))
	require.Contains(t, d.HistoryError, "does not verify")
	require.Len(t, d.History, 2)
	require.Contains(t, s.does(t, "runs", "show", "order-1"), "the history is damaged: ")

	require.Contains(t, s.fails(t, "doctor", "--looks=1"), "1 faults found")
	got := millrace(t, "--store", s.url, "doctor", "--looks=1", "--json")
	rep := of[report](t, got.out)
	require.Equal(t, 1, rep.Faults)
	require.Equal(t, "order-1", rep.Findings[0].Run)
	require.True(t, rep.Findings[0].Fault)
}

// harm changes rows behind the core's back.
func (s *shop) harm(t *testing.T, decide store.Decide) {
	t.Helper()
	db, err := store.Open(t.Context(), s.url, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	keys := store.Keys{RunIDs: []string{"order-1"}, Rows: []store.RowKey{{Kind: store.Dead, Name: store.Num(5)}}}
	require.NoError(t, db.Commit(t.Context(), keys, decide))
}

// M9, H1
func TestDoctor(t *testing.T) {
	s := busyShop(t)
	require.Contains(t, s.does(t, "doctor"), "2 runs; 6 messages accepted: 2 open, 2 done, 2 dead, 0 cancelled\nno faults\n")
	rep := of[report](t, s.does(t, "doctor", "--json"))
	require.Zero(t, rep.Faults)
	require.Len(t, rep.Findings, 2)
	require.True(t, of[report](t, s.does(t, "doctor", "--json", "--limit=1")).More)

	s.harm(t, func(*store.Snapshot) *store.Changes { // a dead letter that nobody discarded
		return &store.Changes{DeleteRows: []store.RowKey{{Kind: store.Dead, Name: store.Num(5)}}}
	})
	require.Contains(t, s.fails(t, "doctor", "--looks=1"), "faults found in this store")
	got := millrace(t, "--store", s.url, "doctor", "--looks=1")
	require.Contains(t, got.out, "FAULT  conservation")
}

// M7: names and errors may hold anything; a terminal shows it harmlessly.
func TestTerminalIsSafe(t *testing.T) {
	require.Equal(t, `a b \u001b[31mred\u0007`, clean("a\nb \x1b[31mred\x07"))
	require.Equal(t, "grün", clean("grün"))
	require.Equal(t, "abc…", clip("abcdefg", 4))
	require.Equal(t, "(3 bytes, base64) /wAB", shown([]byte{0xff, 0, 1}))
}
