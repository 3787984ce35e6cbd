package redis_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// BenchmarkTransitions makes transitions, 100 to a commit: each ends a message,
// changes its run, and inserts the next message, born held. Two commits are on
// their way at once.
func BenchmarkTransitions(b *testing.B) {
	const each, lines = 100, 2
	s := newPlace(b, shared(b)).open(b, store.Options{})
	defer s.Close()
	beat, err := s.Beat(b.Context(), store.Beat{Lease: time.Hour})
	require.NoError(b, err)
	var at [lines]*line
	for i := range at {
		at[i] = &line{worker: beat.Key, runs: make([]*store.Run, each), seqs: make([]int64, each)}
		require.NoError(b, s.Commit(b.Context(), store.Keys{}, at[i].begin))
	}
	b.ResetTimer()
	var settles [lines]func() error
	for n := 0; b.Loop(); n++ {
		i := n % lines
		if settles[i] != nil {
			require.NoError(b, settles[i]())
		}
		keys := store.Keys{Worker: beat.Key, Holds: at[i].seqs}
		for _, r := range at[i].runs {
			keys.Runs = append(keys.Runs, r.Key)
		}
		settles[i], err = s.CommitAhead(b.Context(), keys, at[i].step)
		require.NoError(b, err)
	}
	for _, settle := range settles {
		if settle != nil {
			require.NoError(b, settle())
		}
	}
	b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "transitions/s")
}

// line are runs that go on together.
type line struct {
	worker int64
	runs   []*store.Run
	seqs   []int64
}

var benchBody = make([]byte, 150)

func (l *line) message(seq, run int64) *store.Message {
	return &store.Message{Seq: seq, Run: run, Topic: "bench", Worker: l.worker, ID: "0123456789abcdef", Task: "bench/step", Payload: benchBody}
}

func (l *line) begin(snap *store.Snapshot) *store.Changes {
	c := &store.Changes{}
	for i := range l.runs {
		key := snap.NextSeq + c.Seqs
		l.runs[i] = &store.Run{Key: key, ID: store.Num(key), Name: "bench/step", Status: store.Running, Tail: benchBody}
		l.seqs[i] = key + 1
		c.PutRuns = append(c.PutRuns, l.runs[i])
		c.PutMessages = append(c.PutMessages, l.message(key+1, key))
		c.Seqs += 2
	}
	return c
}

func (l *line) step(snap *store.Snapshot) *store.Changes {
	c := &store.Changes{DeleteMessages: l.seqs}
	next := make([]int64, len(l.seqs))
	for i, r := range l.runs {
		changed := *snap.Runs[r.Key]
		changed.Entries++
		next[i] = snap.NextSeq + c.Seqs
		c.PutRuns = append(c.PutRuns, &changed)
		c.PutMessages = append(c.PutMessages, l.message(next[i], r.Key))
		c.Seqs++
	}
	l.seqs = next
	return c
}
