package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var numberChecks = []check{
	{"numbers begin above 0", numbersBegin},
	{"numbers are not given twice", numbersGrow},
	{"numbers are not reused after the highest was deleted", numbersOutliveRows},
	{"numbers are not reused after reopening", numbersSurvive},
	{"numbers used for neither message nor run count", numbersOfRows},
}

func numbersBegin(x *fixture) { require.Positive(x, x.read(store.Keys{}).NextSeq) }

func numbersGrow(x *fixture) {
	last := int64(0)
	for range 5 {
		for _, n := range append(x.insert(many(3)...), x.insertRuns(&store.Run{ID: label(int(last)), Status: store.Running})...) {
			require.Greater(x, n, last)
			last = n
		}
	}
	require.Greater(x, x.read(store.Keys{}).NextSeq, last)
}

func numbersOutliveRows(x *fixture) {
	seqs := x.insert(many(3)...)
	x.write(&store.Changes{DeleteMessages: seqs})
	require.Greater(x, x.insert(queued())[0], seqs[2])
}

func numbersSurvive(x *fixture) {
	seqs := x.insert(many(3)...)
	x.write(&store.Changes{DeleteMessages: seqs})
	x.reopen()
	again := x.insert(queued())[0]
	require.Greater(x, again, seqs[2])
	x.write(&store.Changes{DeleteMessages: []int64{again}})
	x.reopen()
	require.Greater(x, x.read(store.Keys{}).NextSeq, again)
}

func numbersOfRows(x *fixture) {
	var next int64
	x.change(store.Keys{}, func(s *store.Snapshot) *store.Changes {
		next = s.NextSeq
		key := store.RowKey{Kind: store.Join, Owner: "o", Name: store.Num(next + 9)}
		return &store.Changes{Seqs: 10, PutRows: []*store.Row{{RowKey: key}}}
	})
	require.GreaterOrEqual(x, x.read(store.Keys{}).NextSeq, next+10)
}
