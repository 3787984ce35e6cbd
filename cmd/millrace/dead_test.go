//semantics:stores sqlite

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// R4: listed.
func TestDeadList(t *testing.T) {
	s := busyShop(t)
	require.Equal(t, strings.TrimPrefix(`
SEQ  AT  TASK  RUN  STATUS  FAILED  REASON
5  (when)  shop/charge  order-1  running  1  card refused
8  (when)  shop/crash  -  -  1  panic: boom
`, "\n"), steady(s.does(t, "dead", "list")))

	seqs := func(args ...string) (all []int64) {
		for _, l := range lines[deadLine](t, s.does(t, append([]string{"dead", "list", "--json"}, args...)...)) {
			all = append(all, l.Seq)
		}
		return all
	}
	require.Equal(t, []int64{5, 8}, seqs())
	require.Equal(t, []int64{5}, seqs("--limit=1"))
	require.Equal(t, []int64{8}, seqs("--after=5"))
	require.Equal(t, []int64{5}, seqs("--run=order-1"))
	first := lines[deadLine](t, s.does(t, "dead", "list", "--json"))[0]
	require.Equal(t, []any{"shop/charge", "order-1", 1, "running", "card\nrefused"},
		[]any{first.Task, first.Run, first.Attempts, first.Status, first.Reason})
}

// R4, M8: shown, with all attempts and the stack of a panic.
func TestDeadShow(t *testing.T) {
	s := busyShop(t)
	text := s.does(t, "dead", "show", "8")
	require.Contains(t, text, "\npayload\n    \"boom\"\n")
	require.Contains(t, text, "\nattempt 1, ")
	require.Contains(t, text, "    panic: boom\n")
	require.Contains(t, text, "main_test.go", "the stack")

	d := of[deadDocument](t, s.does(t, "dead", "show", "5", "--json"))
	require.JSONEq(t, `{"ID":"1","Good":false}`, string(d.Payload))
	require.Len(t, d.Failures, 1)
	require.Equal(t, "card\nrefused", d.Failures[0].Error)
	require.Equal(t, os.Getpid(), d.Failures[0].PID)
	require.Empty(t, d.Edits)
	require.Contains(t, s.fails(t, "dead", "show", "6"), "dead letter 6: not found")
	require.Contains(t, s.fails(t, "dead", "show", "six"), "six")
}

// R4, R2: edited, old and new kept, and sent again.
func TestDeadRequeueEdited(t *testing.T) {
	s := busyShop(t)
	file := filepath.Join(t.TempDir(), "payload.json")
	requeue := func(seq, payload string) string {
		require.NoError(t, os.WriteFile(file, []byte(payload), 0o600))
		return s.does(t, "dead", "requeue", seq, "--payload", file)
	}
	require.Equal(t, "5 requeued\n1 dead letters requeued\n", requeue("5", `{"ID":"1","Good":false,"Try":2}`))
	require.Contains(t, s.fails(t, "dead", "requeue", "5"), "dead letter 5: not found")
	s.open(t, func(context.Context, *router.Router) { s.await(t, 1) })

	again := lines[deadLine](t, s.does(t, "dead", "list", "--json", "--run=order-1"))
	require.Len(t, again, 1)
	require.Equal(t, 2, again[0].Attempts, "the old one counts still")
	seq := fmt.Sprint(again[0].Seq)
	d := of[deadDocument](t, s.does(t, "dead", "show", seq, "--json"))
	require.Contains(t, string(d.Payload), "Try")
	require.Len(t, d.Failures, 2)
	require.Len(t, d.Edits, 1)
	require.JSONEq(t, `{"ID":"1","Good":false}`, string(d.Edits[0].Payload))
	require.Contains(t, s.does(t, "dead", "show", seq), "the payload was\n    {\"ID\":\"1\",\"Good\":false}\n")

	requeue(seq, `{"ID":"1","Good":true}`)
	s.open(t, func(ctx context.Context, r *router.Router) {
		h, err := saga.Find(ctx, r, "order-1")
		require.NoError(t, err)
		var end string
		require.NoError(t, h.Result(ctx, &end))
		require.Equal(t, "shipped", end)
		doctortest.Check(t, r.Store())
	})
	require.Contains(t, s.does(t, "runs", "show", "order-1"), "edited, was")
}

// deadOrders makes n dead letters, each of a run of its own.
func deadOrders(t *testing.T, n int) *shop {
	t.Helper()
	s := newShop(t)
	s.open(t, func(ctx context.Context, r *router.Router) {
		for i := range n {
			_, err := saga.Start(ctx, r, charge, order{ID: fmt.Sprint(i)}, saga.ID(fmt.Sprintf("order-%d", i)))
			require.NoError(t, err)
		}
		s.await(t, n)
	})
	return s
}

// R4, T1: many, at a paced rate.
func TestDeadRequeueAllPaced(t *testing.T) {
	s := deadOrders(t, 450)
	before := time.Now()
	all := lines[settled](t, s.does(t, "dead", "requeue", "--all", "--rate=2/s", "--json"))
	require.Len(t, all, 450)
	require.Equal(t, "requeued", all[449].Result)
	require.Empty(t, s.does(t, "dead", "list", "--json"))

	var due []time.Time
	s.look(t, func(r *router.Router) {
		found, err := r.Find(t.Context(), store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
		require.NoError(t, err)
		for _, m := range found.Messages {
			if m.Due != 0 {
				due = append(due, m.Due.Time())
			}
		}
		doctortest.Check(t, r.Store())
	})
	require.Len(t, due, 449, "the first one is due at once")
	slices.SortFunc(due, time.Time.Compare) // one commit may take them in another order
	for i, at := range due {
		require.WithinDuration(t, due[0].Add(time.Duration(i)*time.Second/2), at, time.Millisecond)
	}
	require.True(t, due[0].After(before))
}

// look opens the store without running anything.
func (s *shop) look(t *testing.T, f func(r *router.Router)) {
	t.Helper()
	r, err := router.New(t.Context(), router.Config{Store: s.url, Log: quiet()})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	f(r)
}

// R4: those whose runs have ended are told, and the others are sent.
func TestDeadRequeueWhatCantBe(t *testing.T) {
	s := deadOrders(t, 3)
	s.does(t, "runs", "cancel", "order-1", "--reason=enough")
	got := millrace(t, "--store", s.url, "dead", "requeue", "--all")
	require.Contains(t, failed(t, got), "1 of 3 dead letters were not requeued")
	require.Equal(t, 2, strings.Count(got.out, " requeued\n"))
	left := lines[deadLine](t, s.does(t, "dead", "list", "--json"))
	require.Len(t, left, 1)
	require.Equal(t, "order-1", left[0].Run)
	require.Equal(t, "cancelled", left[0].Status)
	seq := fmt.Sprint(left[0].Seq)
	require.Contains(t, s.fails(t, "dead", "requeue", seq), "its run has ended")
	require.Len(t, lines[deadLine](t, s.does(t, "dead", "list", "--json")), 1, "it is still there")
	require.Contains(t, s.does(t, "dead", "discard", seq, "--reason=its run was cancelled"), "1 dead letters discarded")
	require.Equal(t, "0 dead letters requeued\n", s.does(t, "dead", "requeue", "--all"))
}

// R4: discarded, with a reason, and the run goes on without it.
func TestDeadDiscard(t *testing.T) {
	s := busyShop(t)
	require.Contains(t, s.fails(t, "dead", "discard", "5"), "--reason")
	require.Equal(t, "5 discarded\n8 discarded\n2 dead letters discarded\n", s.does(t, "dead", "discard", "5", "8", "--reason=not worth it"))
	require.Contains(t, s.fails(t, "dead", "discard", "5", "--reason=again"), "dead letter 5: not found")
	d := of[runDocument](t, s.does(t, "runs", "show", "order-1", "--json"))
	require.Equal(t, []int{2, 0}, []int{d.Open, d.Dead})
	last := d.History[len(d.History)-1]
	require.Equal(t, []string{"discarded", "not worth it"}, []string{last.Kind, last.Error})
	require.Contains(t, s.does(t, "doctor"), "0 dead, 2 cancelled")
}

// A damaged dead letter hides no other, and is no reason to stop.
//
// R6
func TestDeadDamaged(t *testing.T) {
	s := busyShop(t)
	s.harm(t, func(snap *store.Snapshot) *store.Changes {
		row := *snap.Rows[store.RowKey{Kind: store.Dead, Name: store.Num(5)}]
		row.Body = []byte("\xffnonsense")
		return &store.Changes{PutRows: []*store.Row{&row}}
	})
	got := millrace(t, "--store", s.url, "dead", "list")
	require.Contains(t, failed(t, got), "dead letter 5: stored row is damaged")
	require.Contains(t, got.out, "shop/crash")
	require.Contains(t, s.fails(t, "dead", "show", "5"), "damaged")
	require.Contains(t, s.fails(t, "dead", "requeue", "--all"), "1 of 2 dead letters were not requeued")
	require.Contains(t, s.does(t, "runs", "show", "order-1"), "running")
	require.Contains(t, s.fails(t, "doctor", "--looks=1"), "faults")
}

// R4: in Go, as the command does it.
func TestDeadLettersInGo(t *testing.T) {
	s := deadOrders(t, 2)
	s.look(t, func(r *router.Router) {
		var seqs []int64
		for d, err := range saga.DeadLetters(t.Context(), r, 0) {
			require.NoError(t, err)
			seqs = append(seqs, d.Seq)
		}
		require.Len(t, seqs, 2)
		tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Second)
		require.NoError(t, saga.Requeue(t.Context(), r, seqs[0], saga.NotBefore(tomorrow)))
		require.ErrorIs(t, saga.Requeue(t.Context(), r, seqs[0]), saga.ErrNotFound)
		require.NoError(t, saga.Discard(t.Context(), r, seqs[1], "no more"))
		_, err := saga.FindDeadLetter(t.Context(), r, seqs[1])
		require.ErrorIs(t, err, saga.ErrNotFound)
		h, err := saga.Find(t.Context(), r, "order-0")
		require.NoError(t, err)
		w, err := h.Waits(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, tomorrow.UTC(), w.Messages[0].Due.Time())
		doctortest.Check(t, r.Store())
	})
}
