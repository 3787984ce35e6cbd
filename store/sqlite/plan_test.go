package sqlite

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// scans are the statements that may look at a whole table, or sort: they do so
// by their nature, over little, or up to a limit in the order of the key.
var scans = map[*statement]string{
	sqlHasMeta:           "the schema",
	sqlLock:              "changes nothing",
	sqlWorkers:           "all workers",
	sqlCloseWorkers:      "all workers",
	sqlClaimable:         "sorts what was asked for",
	sqlFindRuns:          "in the order of keys",
	sqlFindRunsNewest:    "in the order of keys",
	sqlFindMessagesBySeq: "sorts what was asked for",
}

// Every other statement finds its rows by an index, in their order.
func TestStatementsUseIndexes(t *testing.T) {
	s := openNew(t, store.Options{})
	for _, q := range statements {
		if _, expected := scans[q]; expected || !isDML(q) {
			continue
		}
		for _, step := range planOf(t, s, q) {
			whole := strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "json_each") &&
				!strings.Contains(step, "VIRTUAL TABLE") && !strings.Contains(step, "CONSTANT ROW") &&
				!strings.Contains(step, "VALUES") && !strings.Contains(step, "subquery")
			require.False(t, whole || strings.Contains(step, "TEMP B-TREE"), "%s: %s", q.name, step)
		}
	}
}

// Grabbing reads what is ready and when more will be from the index alone.
func TestGrabReadsIndexes(t *testing.T) {
	s := openNew(t, store.Options{})
	require.Contains(t, planOf(t, s, sqlReady)[0], "COVERING INDEX millrace_messages_ready")
	require.Contains(t, planOf(t, s, sqlRipe)[0], "COVERING INDEX millrace_messages_later")
	require.Contains(t, planOf(t, s, sqlNextDue)[0], "COVERING INDEX millrace_messages_later")
	require.Contains(t, planOf(t, s, sqlFree)[0], "millrace_messages_free")
	require.Contains(t, planOf(t, s, sqlNamed)[0], "millrace_messages_named")
}

func isDML(q *statement) bool {
	for _, line := range strings.Split(q.text, "\n") {
		if strings.HasPrefix(line, "--") {
			continue
		}
		verb, _, _ := strings.Cut(line, " ")
		return verb == "SELECT" || verb == "INSERT" || verb == "UPDATE" || verb == "DELETE"
	}
	return false
}

func planOf(t *testing.T, s *Store, q *statement) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(q.text, "?"))
	for i := range args {
		args[i] = i
	}
	rows, err := s.DB().Query("EXPLAIN QUERY PLAN "+q.text, args...)
	require.NoError(t, err, q.name)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return steps
}

// J2, T1: of many messages that fall due at once, more than one call takes
// notice of, the urgent come first in the end, and none is lost or given twice.
func TestManyFallDueAtOnce(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := openNew(t, store.Options{Now: func() time.Time { return now }})
	w, err := s.Beat(t.Context(), store.Beat{Lease: time.Hour})
	require.NoError(t, err)
	const n = 3*ripeAtOnce + 7
	due := store.At(now).Add(time.Minute)
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{Seqs: n + 1}
		for i := range int64(n) {
			c.PutMessages = append(c.PutMessages, &store.Message{Seq: snap.NextSeq + i, Topic: "t", Due: due})
		}
		c.PutMessages = append(c.PutMessages,
			&store.Message{Seq: snap.NextSeq + n, Topic: "t", Due: due + 1, Priority: 9})
		return c
	}))
	grab := store.Grab{Worker: w.Key, Topics: []string{"t"}, Limit: 100}
	got, err := s.Grab(t.Context(), grab)
	require.NoError(t, err)
	require.Empty(t, got.Messages)
	require.Equal(t, due, got.Next)

	now = now.Add(time.Hour)
	seen, urgentAt := map[int64]bool{}, -1
	for more := true; more; {
		got, err := s.Grab(context.Background(), grab)
		require.NoError(t, err)
		for _, m := range got.Messages {
			require.False(t, seen[m.Seq])
			if m.Priority == 9 {
				urgentAt = len(seen)
			} else {
				require.Equal(t, due, m.Due)
			}
			seen[m.Seq] = true
		}
		more = got.More
	}
	require.Len(t, seen, n+1)
	require.LessOrEqual(t, urgentAt, 500)
}
