package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var mail = queue{topic: "mail", priority: 3}

// searchedAt is a search that found seq as the oldest.
func searchedAt(at time.Time, full bool, took time.Duration, seq int64) searched {
	return searched{begun: at, full: full, took: took, horizon: 9000, oldest: map[queue]int64{mail: seq}}
}

// As long as searches are short, each begins at the beginning.
func TestShortSearchesAreFull(t *testing.T) {
	q, now := newQueues(), time.Unix(1e9, 0)
	for i := range 10 {
		at := now.Add(time.Duration(i) * time.Second)
		require.Nil(t, q.search(at))
		q.note(searchedAt(at, true, time.Millisecond, 100))
	}
}

// Once they are long, they begin where messages were found some time before,
// and only now and then at the beginning.
func TestLongSearchesHaveFloors(t *testing.T) {
	q, now := newQueues(), time.Unix(1e9, 0)
	long := 50 * time.Millisecond
	q.note(searchedAt(now, true, long, 100))
	require.Equal(t, map[queue]int64{mail: 0}, q.search(now))
	q.note(searchedAt(now.Add(floorLag), false, 0, 200))
	require.Equal(t, map[queue]int64{mail: 100}, q.search(now.Add(floorLag)))
	q.note(searchedAt(now.Add(2*floorLag), false, 0, 0))
	require.Equal(t, map[queue]int64{mail: 200}, q.search(now.Add(2*floorLag)))
	q.note(searchedAt(now.Add(3*floorLag), false, 0, 0))
	require.Equal(t, map[queue]int64{mail: 9000}, q.search(now.Add(3*floorLag)), "there was none")

	free := q.lower([]*store.Message{{Seq: 150, Topic: "mail", Priority: 3, Due: 7}, {Seq: 1, Topic: "mail", Priority: 3, Worker: 1}})
	require.Equal(t, map[string]store.Instant{"mail": 7}, free)
	require.Equal(t, map[queue]int64{mail: 150}, q.search(now.Add(3*floorLag)))

	require.Nil(t, q.search(now.Add(fullPart*long+1)))
	at := now.Add(2 * time.Second)
	q.note(searchedAt(at, true, long, 40))
	require.Equal(t, map[queue]int64{mail: 40}, q.search(at), "something was freed below")
	q.forget()
	require.Empty(t, q.search(at))
	q.note(searchedAt(at, true, time.Millisecond, 40))
	require.Nil(t, q.search(at), "it is short again")
}

// J2: while an idle transaction keeps dead rows, every message is given once.
func TestGrabWithFloors(t *testing.T) {
	all := handles(t, 2)
	tx, err := all[0].DB().Begin()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = tx.Exec("SELECT pg_current_xact_id()")
	require.NoError(t, err)
	w, err := all[0].Beat(t.Context(), store.Beat{Lease: time.Hour})
	require.NoError(t, err)
	given := map[int64]bool{}
	for range 30 {
		for _, s := range all {
			s.queues.took = time.Millisecond // as if it took long
			s.queues.full = time.Now()
			require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
				c := &store.Changes{Seqs: 40}
				for i := range int64(40) {
					c.PutMessages = append(c.PutMessages, &store.Message{Seq: snap.NextSeq + i, Topic: "mail", Priority: int16(i % 3)})
				}
				return c
			}))
			got, err := s.Grab(t.Context(), store.Grab{Worker: w.Key, Topics: []string{"mail"}, Limit: 35})
			require.NoError(t, err)
			for _, m := range got.Messages {
				require.False(t, given[m.Seq])
				given[m.Seq] = true
			}
		}
	}
	require.Eventually(t, func() bool {
		got, err := all[1].Grab(t.Context(), store.Grab{Worker: w.Key, Topics: []string{"mail"}, Limit: 500})
		require.NoError(t, err)
		for _, m := range got.Messages {
			require.False(t, given[m.Seq])
			given[m.Seq] = true
		}
		return len(given) == 2*30*40
	}, 20*time.Second, 10*time.Millisecond)
}
