package step

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// Workers don't count in the same rows as long as there are few, and nobody
// counts where a transaction of a caller's does, which may last.
func TestCountersAreApart(t *testing.T) {
	own := map[store.RowKey]int64{}
	for worker := range int64(256) {
		for lane := range int64(OwnLanes) {
			key := counterKey(worker, lane)
			require.NotContains(t, own, key)
			own[key] = worker
		}
	}
	for _, worker := range []int64{256, 1000, 1 << 40} {
		for lane := range int64(OwnLanes) {
			require.Contains(t, own, counterKey(worker, lane), "there are so many and no more")
		}
	}
	callers := map[store.RowKey]bool{}
	for lane := int64(OwnLanes); lane < OwnLanes+1000; lane++ {
		key := counterKey(0, lane)
		require.Equal(t, key, counterKey(7, lane))
		require.NotContains(t, own, key)
		callers[key] = true
	}
	require.Len(t, callers, 1000)
}
