package faults

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// The queues of RabbitMQ, or the streams of Redis, are deleted again and again
// while they are in use. What was in them is in the store.
//
// M3, M9, M11, F2, T1
//
//semantics:stores postgres redis sqlite
func TestQueuesAreDeleted(t *testing.T) {
	t.Parallel()
	pl := shared(t)
	var loads []*load
	for _, p := range pairs {
		if p.broker != "" {
			loads = append(loads, pl.site(t, p).open(t, 2, nil).run().feed())
		}
	}
	deleted := map[*load]int{}
	for range times(2, 30) {
		for _, l := range loads {
			l.progress(3)
		}
		for _, l := range loads {
			deleted[l] += l.deleteTopics()
		}
	}
	for _, l := range loads {
		l.progress(3)
	}
	finishAll(loads)
	for _, l := range loads {
		require.GreaterOrEqual(t, deleted[l], 2, "%s: there was nothing to delete", l.pair)
	}
}

// deleteTopics deletes what the load has in its broker, and returns how much
// that was.
func (l *load) deleteTopics() int {
	l.Helper()
	switch l.pair.broker {
	case "redis":
		return l.deleteKeys(l, l.tag+":*")
	case "watermill-sql":
		_, err := l.rival(1).Exec(`DELETE FROM "watermill_` + l.tag + `"`)
		require.NoError(l, err)
		return 1
	}
	return l.deleteQueues(l, l.storeName())
}

// storeName returns the name that the store was given when it was made.
func (l *load) storeName() string {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	b, err := l.routers[0].Store().Beat(ctx, store.Beat{Lease: time.Minute})
	require.NoError(l, err)
	_, err = l.routers[0].Store().Reap(ctx, store.Reap{Workers: []int64{b.Key}})
	require.NoError(l, err)
	return b.Store
}
