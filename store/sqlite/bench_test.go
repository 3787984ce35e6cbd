package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/millrace-go/millrace/store"
)

// BenchmarkTransitions measures what the writer spends on one transition: its
// own message deleted, the next one inserted held, the run read and updated,
// and the counters of the commit put. "cold" is how it goes while other
// processes write too, so that no run is found in the cache.
func BenchmarkTransitions(b *testing.B) {
	for _, c := range []struct {
		name string
		sync Synchronous
		cold bool
	}{{"full", Full, false}, {"normal", Normal, false}, {"full-cold", Full, true}} {
		for _, batch := range []int{1, 100, 500} {
			b.Run(fmt.Sprintf("%s/%d", c.name, batch), func(b *testing.B) {
				s := open(b, filepath.Join(b.TempDir(), "bench.db"), Config{Synchronous: c.sync})
				benchTransitions(b, s, batch, c.cold)
			})
		}
	}
}

func benchTransitions(b *testing.B, s *Store, batch int, cold bool) {
	ctx := context.Background()
	w, err := s.Beat(ctx, store.Beat{Worker: store.Worker{Host: "bench"}, Lease: 1e12})
	if err != nil {
		b.Fatal(err)
	}
	c := newChains(w.Key, 5000)
	for !c.started() {
		if err := s.Commit(ctx, store.Keys{}, c.start); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		n := min(batch, b.N-done)
		if err := s.Commit(ctx, c.keys(n), c.step); err != nil {
			b.Fatal(err)
		}
		c.rotate(n)
		if cold {
			s.cache.clear()
		}
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

// BenchmarkRaw is the limit to compare with: insert a row of 200 bytes, update
// one and delete one, by prepared statements through database/sql.
func BenchmarkRaw(b *testing.B) {
	for _, batch := range []int{1, 100, 500} {
		b.Run(fmt.Sprintf("full/%d", batch), func(b *testing.B) { benchRaw(b, batch) })
	}
}

func benchRaw(b *testing.B, batch int) {
	ctx := context.Background()
	db := openNew(b, store.Options{}).DB()
	const table = "CREATE TABLE raw (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"
	if _, err := db.ExecContext(ctx, table); err != nil {
		b.Fatal(err)
	}
	all := make([]*sql.Stmt, 3)
	for i, text := range []string{
		"INSERT INTO raw (seq, body) VALUES (?1, ?2)",
		"UPDATE raw SET body = ?2 WHERE seq = ?1",
		"DELETE FROM raw WHERE seq = ?1",
	} {
		st, err := db.PrepareContext(ctx, text)
		if err != nil {
			b.Fatal(err)
		}
		all[i] = st
	}
	b.ResetTimer()
	for done := 0; done < b.N; done += batch {
		rawBatch(b, db, all, done, min(batch, b.N-done))
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transitions/s")
}

func rawBatch(b *testing.B, db *sql.DB, all []*sql.Stmt, from, n int) {
	tx, err := db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	insert, update, remove := tx.Stmt(all[0]), tx.Stmt(all[1]), tx.Stmt(all[2])
	body := make([]byte, 200)
	for i := from; i < from+n; i++ {
		_, err1 := insert.Exec(i, body)
		_, err2 := update.Exec(i-100, body)
		_, err3 := remove.Exec(i - 1000)
		if err1 != nil || err2 != nil || err3 != nil {
			b.Fatal(err1, err2, err3)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
