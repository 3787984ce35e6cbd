package memory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
)

var key = store.RowKey{Kind: store.Lock, Owner: "o"}

func open(t *testing.T, url string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func put(t *testing.T, s store.Store) {
	t.Helper()
	err := s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{{RowKey: key}}}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func requireRow(t *testing.T, s store.Store, want bool) {
	t.Helper()
	found, err := s.Find(t.Context(), store.Query{Rows: &store.RowQuery{Kind: key.Kind, Owner: key.Owner}})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(found.Rows) > 0; got != want {
		t.Fatalf("row is there: %v, want %v", got, want)
	}
}

func TestSameNameIsSameDatabase(t *testing.T) {
	a, b := open(t, "memory:shared"), open(t, "memory:shared")
	put(t, a)
	requireRow(t, b, true)
	requireRow(t, open(t, "memory:other"), false)
	requireRow(t, memory.Open("shared", store.Options{}), true)
}

func TestNoNameIsPrivate(t *testing.T) {
	a, b := open(t, "memory:"), open(t, "memory:")
	put(t, a)
	requireRow(t, b, false)
	requireRow(t, memory.Open("", store.Options{}), false)
}

func TestDataLivesAsLongAsAHandle(t *testing.T) {
	a := memory.Open("lives", store.Options{})
	put(t, a)
	b := memory.Open("lives", store.Options{})
	for range 2 { // closing twice gives back one handle
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := memory.Open("lives", store.Options{})
	requireRow(t, c, true)
	_, _ = b.Close(), c.Close()
	requireRow(t, open(t, "memory:lives"), false)
}

func TestURLsThatMakeNoSense(t *testing.T) {
	for _, url := range []string{"memory://host", "memory:///path", "memory:name?x=1", "memory:%zz"} {
		if _, err := store.Open(t.Context(), url, store.Options{}); err == nil {
			t.Errorf("%s was opened", url)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Open(ctx, "memory:", store.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("opened with an ended context: %v", err)
	}
}

func TestNumbersThatWereNotGivenOutAreRefused(t *testing.T) {
	s := memory.New(store.Options{})
	for _, c := range []*store.Changes{
		{PutMessages: []*store.Message{{Seq: 1}}},
		{Seqs: 1, PutMessages: []*store.Message{{Seq: 2}}},
		{Seqs: 1, PutMessages: []*store.Message{{Seq: 0}}},
		{Seqs: 1, PutRuns: []*store.Run{{Key: 1, ID: "a"}, {Key: 2, ID: "b"}}},
		{Seqs: 2, PutRuns: []*store.Run{{Key: 1, ID: "a"}, {Key: 2, ID: "a"}}},
	} {
		c.PutRows = []*store.Row{{RowKey: key}}
		err := s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { return c })
		if err == nil {
			t.Errorf("%+v was committed", c)
		}
		requireRow(t, s, false)
	}
	ids := store.Keys{RunIDs: []string{"a", "b"}}
	err := s.Commit(t.Context(), ids, func(snap *store.Snapshot) *store.Changes {
		if snap.RunIDs["a"] != nil || snap.RunIDs["b"] != nil {
			t.Error("a refused run kept its id")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A panic in decide leaves the store usable.
func TestPanicInDecide(t *testing.T) {
	s := memory.New(store.Options{})
	func() {
		defer func() { _ = recover() }()
		_ = s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { panic("decide") })
	}()
	put(t, s)
}
