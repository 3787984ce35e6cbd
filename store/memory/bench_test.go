package memory_test

import (
	"testing"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
)

// BenchmarkHandover finishes one message and inserts its child, born held: the
// step of a chain, and nothing else.
func BenchmarkHandover(b *testing.B) {
	s := memory.New(store.Options{})
	worker := register(b, s)
	seq := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		keys := store.Keys{Worker: worker, Holds: []int64{seq}}
		must(b, s.Commit(b.Context(), keys, func(snap *store.Snapshot) *store.Changes {
			c := &store.Changes{
				Seqs:        1,
				PutMessages: []*store.Message{{Seq: snap.NextSeq, Topic: "q", Worker: worker}},
			}
			if seq != 0 {
				c.DeleteMessages = []int64{seq}
			}
			seq = snap.NextSeq
			return c
		}))
	}
}

// BenchmarkQueue inserts 100 free messages, grabs and deletes them, with
// 100,000 others waiting.
func BenchmarkQueue(b *testing.B) {
	s := memory.New(store.Options{})
	worker := register(b, s)
	for range 1000 {
		insert(b, s, -1)
	}
	b.ReportAllocs()
	for b.Loop() {
		insert(b, s, 0)
		got, err := s.Grab(b.Context(), store.Grab{Worker: worker, Topics: []string{"q"}, Limit: 100})
		must(b, err)
		c := &store.Changes{}
		for _, m := range got.Messages {
			c.DeleteMessages = append(c.DeleteMessages, m.Seq)
		}
		must(b, s.Commit(b.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes { return c }))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/message")
}

func register(b *testing.B, s store.Store) int64 {
	got, err := s.Beat(b.Context(), store.Beat{Lease: 1e9})
	must(b, err)
	return got.Key
}

func insert(b *testing.B, s store.Store, priority int16) {
	must(b, s.Commit(b.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{Seqs: 100}
		for i := range int64(100) {
			c.PutMessages = append(c.PutMessages, &store.Message{Seq: snap.NextSeq + i, Topic: "q", Priority: priority})
		}
		return c
	}))
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}
