package postgres

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// BenchmarkTransitions measures what a commit spends on one transition: its
// own message deleted, the next one inserted held, the run read and updated,
// and the counters of the commit put.
func BenchmarkTransitions(b *testing.B) {
	for _, batch := range []int{1, 20, 100, 500} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			benchTransitions(b, open(b, newSchema(b), store.Options{}), batch)
		})
	}
}

func benchTransitions(b *testing.B, s *Store, batch int) {
	ctx := context.Background()
	w, err := s.Beat(ctx, store.Beat{Worker: store.Worker{Host: "bench"}, Lease: 1e12})
	require.NoError(b, err)
	c := newChains(w.Key, 5000)
	for !c.started() {
		require.NoError(b, s.Commit(ctx, store.Keys{}, c.start))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		require.NoError(b, s.Commit(ctx, c.keys(n), c.step))
		c.rotate(n)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transitions/s")
}

// chains are runs of which each has one held message.
type chains struct {
	worker int64
	want   int
	open   []link
	now    []link // of the commit under way
}

type link struct{ seq, run int64 }

var counters = store.RowKey{Kind: store.Counter, Name: "0"}

func newChains(worker int64, n int) *chains { return &chains{worker: worker, want: n} }

func (c *chains) started() bool { return len(c.open) == c.want }

// start opens some runs.
func (c *chains) start(snap *store.Snapshot) *store.Changes {
	out := &store.Changes{}
	for n := snap.NextSeq; !c.started() && len(out.PutRuns) < 1000; n += 2 {
		out.Seqs += 2
		out.PutRuns = append(out.PutRuns, c.run(n))
		out.PutMessages = append(out.PutMessages, c.message(n+1, n))
		c.open = append(c.open, link{seq: n + 1, run: n})
	}
	return out
}

func (c *chains) run(key int64) *store.Run {
	return &store.Run{
		Key: key, ID: "0192f3" + store.Num(key), Name: "bench/chain", Status: store.Running,
		Open: 1, Started: 1, Updated: 1, Entries: 3, Tail: make([]byte, 380),
	}
}

func (c *chains) message(seq, run int64) *store.Message {
	return &store.Message{
		Seq: seq, Topic: "bench", Run: run, Worker: c.worker, ID: "0192f3" + store.Num(seq),
		RunID: "0192f3" + store.Num(run), Task: "bench/step", Payload: make([]byte, 120),
	}
}

func (c *chains) keys(n int) store.Keys {
	c.now = c.open[:n]
	k := store.Keys{Worker: c.worker, Rows: []store.RowKey{counters}}
	for _, l := range c.now {
		k.Holds = append(k.Holds, l.seq)
		k.Runs = append(k.Runs, l.run)
	}
	return k
}

func (c *chains) step(snap *store.Snapshot) *store.Changes {
	out := &store.Changes{PutRows: []*store.Row{{RowKey: counters, Body: make([]byte, 40)}}}
	for i, l := range c.now {
		if snap.Holds[l.seq].Worker != c.worker || !snap.Alive {
			panic("the message is not held")
		}
		r := *snap.Runs[l.run]
		r.Entries++
		seq := snap.NextSeq + out.Seqs
		out.Seqs++
		out.DeleteMessages = append(out.DeleteMessages, l.seq)
		out.PutMessages = append(out.PutMessages, c.message(seq, l.run))
		out.PutRuns = append(out.PutRuns, &r)
		c.now[i].seq = seq
	}
	return out
}

// rotate puts the chains that went on behind the others.
func (c *chains) rotate(n int) { c.open = append(c.open[n:], c.open[:n:n]...) }
