package postgres

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

func BenchmarkZZ(b *testing.B) {
	for _, n := range []int{0, 1, 10, 20, 40, 80} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			at := newSchema(b)
			s := open(b, at, store.Options{})
			w, err := s.Beat(b.Context(), store.Beat{Worker: store.Worker{Host: "h"}, Lease: 1e12})
			require.NoError(b, err)
			body := make([]byte, 300)
			ck := key("counter")
			var runs []*store.Run
			var seqs []int64
			if n > 0 {
				require.NoError(b, s.Commit(b.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
					runs, seqs = nil, nil
					c := &store.Changes{Seqs: int64(2 * n)}
					for i := range n {
						r := &store.Run{Key: snap.NextSeq + int64(i), ID: fmt.Sprint(i), Status: store.Running, Tail: body}
						runs = append(runs, r)
						m := &store.Message{Seq: snap.NextSeq + int64(n+i), Topic: "t", Worker: w.Key, Run: r.Key, Payload: body[:200]}
						seqs = append(seqs, m.Seq)
						c.PutRuns = append(c.PutRuns, r)
						c.PutMessages = append(c.PutMessages, m)
					}
					return c
				}))
			}
			x := 0
			for b.Loop() {
				x++
				keys := store.Keys{Worker: w.Key, Holds: seqs, Rows: []store.RowKey{ck}}
				for _, r := range runs {
					keys.Runs = append(keys.Runs, r.Key)
				}
				var next []int64
				err := s.Commit(b.Context(), keys, func(snap *store.Snapshot) *store.Changes {
					next = next[:0]
					c := &store.Changes{Seqs: int64(n), DeleteMessages: seqs, PutRows: []*store.Row{{RowKey: ck, Body: fmt.Append(nil, x)}}}
					for i, r := range runs {
						cp := *snap.Runs[r.Key]
						cp.Entries++
						c.PutRuns = append(c.PutRuns, &cp)
						m := &store.Message{Seq: snap.NextSeq + int64(i), Topic: "t", Worker: w.Key, Run: r.Key, Payload: body[:200]}
						next = append(next, m.Seq)
						c.PutMessages = append(c.PutMessages, m)
					}
					return c
				})
				if err != nil {
					b.Fatal(err)
				}
				seqs = append([]int64(nil), next...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(max(n, 1)), "us/step")
		})
	}
}
