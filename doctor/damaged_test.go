package doctor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/sqlite"
)

// A message that does not decode is told once, and keeps nothing else from
// being examined.
func TestDamagedMessage(t *testing.T) {
	s, err := sqlite.Open(t.Context(), t.TempDir()+"/d.db", sqlite.Config{})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
		return &store.Changes{Seqs: 2, PutMessages: []*store.Message{
			{Seq: snap.NextSeq, Topic: "t", Run: 77}, {Seq: snap.NextSeq + 1, Topic: "t"},
		}}
	}))
	_, err = s.DB().Exec("UPDATE millrace_messages SET body = x'ff' WHERE run = 0")
	require.NoError(t, err)
	report, err := doctor.Examine(t.Context(), s, doctor.Options{})
	require.NoError(t, err)
	kinds := map[doctor.Kind]int{}
	for _, f := range report.Findings {
		kinds[f.Kind]++
	}
	require.Equal(t, 1, kinds[doctor.Damaged], report.Findings)
	require.Positive(t, kinds[doctor.Conservation], "nothing was counted as accepted")
}
