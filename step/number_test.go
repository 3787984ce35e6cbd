package step_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// A message that another process made has a higher number than those which
// this one has drawn and not used yet. It is taken out all the same.
//
// M2, M9
func TestMessageOfALaterBlockOfNumbers(t *testing.T) {
	const drawn, later, worker = 100, 900, 1
	out := &step.Outcome{Verb: step.Done, Message: &store.Message{Seq: later, Kind: store.Task, Topic: "s", Task: "s/a", Worker: worker}}
	snap := &store.Snapshot{
		Now: 1, NextSeq: drawn, Alive: true, Holds: map[int64]store.Hold{later: {Exists: true, Worker: worker}},
		Runs: map[int64]*store.Run{}, Rows: map[store.RowKey]*store.Row{}, Lists: map[store.List][]*store.Row{},
	}
	for {
		changes, res := step.Fold(snap, []*step.Outcome{out}, step.Env{Worker: worker, Limits: step.Limits{}.WithDefaults()})
		if changes.More != nil { // nothing else is there
			for _, key := range changes.More.Rows {
				snap.Rows[key] = nil
			}
			for _, key := range changes.More.Lists {
				snap.Lists[key] = nil
			}
			continue
		}
		require.Equal(t, step.Applied, res.Verdicts[0].Code)
		require.Equal(t, []int64{later}, changes.DeleteMessages)
		return
	}
}
