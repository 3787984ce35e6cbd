package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var closeChecks = []check{
	{"closing twice is allowed", closeTwice},
	{"calls after it are ErrClosed", callsAfterClose},
	{"other handles go on", otherHandlesGoOn},
}

func closeTwice(x *fixture) {
	require.NoError(x, x.store.Close())
	require.NoError(x, x.store.Close())
}

func callsAfterClose(x *fixture) {
	w, seq := x.worker(), x.insert(queued())[0]
	require.NoError(x, x.store.Close())
	for name, call := range calls(w, seq) {
		require.ErrorIs(x, call(x.Context(), x.store), store.ErrClosed, name)
	}
}

func otherHandlesGoOn(x *fixture) {
	if x.factory.Share == nil {
		x.Skip("a database of this store has one handle only")
	}
	two := x.handles()
	seq := x.insert(queued())[0]
	require.NoError(x, two[0].Close())
	require.NotNil(x, readFrom(x.T, two[1], store.Keys{Messages: []int64{seq}}).Messages[seq])
}
