package redis_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// Many committers, of several processes, on the same rows: nothing is lost.
func TestManyCommitters(t *testing.T) {
	p := newPlace(t, shared(t))
	const handles, each = 4, 25
	var all sync.WaitGroup
	errs := make([]error, 2*handles)
	for i := range 2 * handles {
		s := p.open(t, store.Options{})
		defer s.Close()
		all.Go(func() {
			for range each {
				if err := increment(t.Context(), s); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	s := p.open(t, store.Options{})
	defer s.Close()
	require.Equal(t, 2*handles*each, count(t, s))
}

func set(n int) store.Decide {
	return func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{{RowKey: counter, Body: []byte(strconv.Itoa(n))}}}
	}
}

// Commits that were decided ahead see each other's rows, and take effect in
// their order, in whatever order they are settled.
func TestCommitAhead(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{Now: time.Now}) // which it knows, however slow the server
	defer s.Close()
	require.NoError(t, increment(t.Context(), s))
	keys := store.Keys{Rows: []store.RowKey{counter}}
	var seen []string
	decide := func(snap *store.Snapshot) *store.Changes {
		seen = append(seen, string(snap.Rows[counter].Body))
		return set(len(seen) + 1)(snap)
	}
	var settles []func() error
	for range 5 {
		settle, err := s.CommitAhead(t.Context(), keys, decide)
		require.NoError(t, err)
		require.NotNil(t, settle, "it knows the row")
		settles = append(settles, settle)
	}
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, seen)
	require.Equal(t, 1, count(t, s), "nothing was sent yet")
	require.NoError(t, settles[4]())
	require.Equal(t, 6, count(t, s))
	for _, settle := range settles[:4] {
		require.NoError(t, settle())
	}
	require.Equal(t, 6, count(t, s))
}

// When another process was quicker, all that was decided ahead is decided anew.
func TestCommitAheadOfAnother(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{Now: time.Now}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	require.NoError(t, increment(t.Context(), s))
	add := func(snap *store.Snapshot) *store.Changes {
		n, _ := strconv.Atoi(string(snap.Rows[counter].Body))
		return set(n + 1)(snap)
	}
	keys := store.Keys{Rows: []store.RowKey{counter}}
	var settles []func() error
	for range 3 {
		settle, err := s.CommitAhead(t.Context(), keys, add)
		require.NoError(t, err)
		settles = append(settles, settle)
	}
	require.NoError(t, other.Commit(t.Context(), keys, set(100)))
	for _, settle := range settles {
		require.NoError(t, settle())
	}
	require.Equal(t, 103, count(t, s))
}

// What a process knows of a worker may be old.
func TestFenceOfAGuess(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	b, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	keys := store.Keys{Worker: b.Key, Rows: []store.RowKey{counter}}
	var alive []bool
	decide := func(snap *store.Snapshot) *store.Changes {
		alive = append(alive, snap.Alive)
		if !snap.Alive {
			return &store.Changes{}
		}
		return set(len(alive))(snap)
	}
	require.NoError(t, s.Commit(t.Context(), keys, decide))
	_, err = other.Reap(t.Context(), store.Reap{Workers: []int64{b.Key}})
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), keys, decide))
	require.False(t, alive[len(alive)-1])
	require.Equal(t, 1, count(t, s))
}

// A run that another process has made is found, though this one knows nothing
// of it.
func TestIDOfAnother(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	start := func(s store.Store, id string) (existed bool) {
		require.NoError(t, s.Commit(t.Context(), store.Keys{RunIDs: []string{id}}, func(snap *store.Snapshot) *store.Changes {
			if existed = snap.RunIDs[id] != nil; existed {
				return nil
			}
			return &store.Changes{Seqs: 1, PutRuns: []*store.Run{{Key: snap.NextSeq, ID: id, Status: store.Running}}}
		}))
		return existed
	}
	for i := range 5 {
		id := fmt.Sprint("run", i)
		require.False(t, start(s, id))
		require.True(t, start(other, id))
		require.True(t, start(s, id))
		require.False(t, start(other, "other"+id))
		require.True(t, start(s, "other"+id))
	}
}

func publishing(p place, s interface {
	PublishBy(func([]store.Publication) ([]store.Statement, error))
}) {
	s.PublishBy(func(all []store.Publication) (out []store.Statement, err error) {
		for _, m := range all {
			out = append(out, store.Statement{Text: "XADD", Args: []any{p.key("x:" + m.Topic), "*", "id", m.UUID, "body", m.Payload}})
		}
		return out, nil
	})
}

// M11: what was published is seen if and only if the changes are.
func TestPublish(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	publishing(p, s)
	c := p.client(t)
	keys := store.Keys{Rows: []store.RowKey{counter}}
	n := 0
	publish := func(topic string) error {
		return s.Commit(t.Context(), keys, func(snap *store.Snapshot) *store.Changes {
			if n++; n == 1 {
				require.NoError(t, increment(t.Context(), other)) // in between
			}
			c := set(100 + n)(snap)
			c.Publish = []store.Publication{
				{Topic: "topic", UUID: "1", Payload: []byte("a")}, {Topic: topic, UUID: "2", Payload: []byte("b")},
			}
			return c
		})
	}
	require.NoError(t, publish("topic"))
	require.Greater(t, n, 1)
	added, err := c.XRange(t.Context(), p.key("x:topic"), "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, added, 2, "once, though it was decided twice")
	require.Equal(t, map[string]any{"id": "2", "body": "b"}, added[1].Values)

	before := count(t, s)
	require.NoError(t, c.Set(t.Context(), p.key("x:wrong"), "no stream", 0).Err())
	require.ErrorContains(t, publish("wrong"), "is no stream")
	require.Equal(t, int64(2), c.XLen(t.Context(), p.key("x:topic")).Val())
	require.Equal(t, before, count(t, s))

	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{Publish: []store.Publication{{Topic: "topic", UUID: "3"}}}
	}), "publishing is a change, too")
	require.Equal(t, int64(3), c.XLen(t.Context(), p.key("x:topic")).Val())
	require.Error(t, other.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{Publish: []store.Publication{{Topic: "topic"}}}
	}), "it was not told how")
}

// Without a clock of the caller's, the server's counts.
func TestServersClock(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	c := p.client(t)
	last := store.Instant(0)
	for range 50 {
		before, err := c.Time(t.Context()).Result()
		require.NoError(t, err)
		var now store.Instant
		require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(snap *store.Snapshot) *store.Changes {
			now = snap.Now
			return set(1)(snap)
		}))
		after, err := c.Time(t.Context()).Result()
		require.NoError(t, err)
		require.GreaterOrEqual(t, now, last)
		require.Greater(t, now, store.At(before)-store.Instant(time.Second.Microseconds()))
		require.LessOrEqual(t, now, store.At(after))
		last = now
	}
}

// A sleeper is woken by what another process frees, not by its own.
func TestWake(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	woken := make(chan error)
	go func() {
		for ctx.Err() == nil {
			woken <- s.Wake(ctx)
		}
		close(woken)
	}()
	c := p.client(t)
	asleep := func() {
		t.Helper()
		require.Eventually(t, func() bool { return c.Exists(t.Context(), p.key("sleep")).Val() == 1 }, 20*time.Second, time.Millisecond)
	}
	asleep()
	for range 5 {
		nextOf(t, other)
		require.NoError(t, <-woken)
		asleep()
	}
	require.NoError(t, increment(t.Context(), other))
	asleep()
	select {
	case err := <-woken:
		require.Fail(t, "woken by nothing", "%v", err)
	default:
	}

	// What this Store frees itself is no news to it, unless it hears of that
	// before its commit has returned.
	const own = 20
	wakes := 0
	for range own {
		nextOf(t, s)
		require.Eventually(t, func() bool {
			select {
			case err := <-woken:
				if err == nil {
					wakes++
				}
			default:
			}
			return c.Exists(t.Context(), p.key("sleep")).Val() == 1
		}, 20*time.Second, time.Millisecond)
	}
	cancel()
	var last error
	for last = range woken {
		if last == nil {
			wakes++
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Less(t, wakes, own)
}

// begin starts runs, each with a message that a worker holds.
func begin(t *testing.T, s store.Store, worker int64, runs int) (keys, seqs []int64) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: worker}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{Seqs: 2 * int64(runs)}
		keys, seqs = nil, nil
		for i := range int64(runs) {
			key, seq := snap.NextSeq+2*i, snap.NextSeq+2*i+1
			c.PutRuns = append(c.PutRuns, &store.Run{Key: key, ID: store.Num(key), Status: store.Running})
			c.PutMessages = append(c.PutMessages, &store.Message{Seq: seq, Run: key, Topic: "topic", Worker: worker})
			keys, seqs = append(keys, key), append(seqs, seq)
		}
		return c
	}))
	return keys, seqs
}

func beat(t *testing.T, s store.Store) int64 {
	t.Helper()
	b, err := s.Beat(t.Context(), store.Beat{Lease: time.Minute})
	require.NoError(t, err)
	return b.Key
}

// step adds a letter to the states of runs, and returns what they were.
func step(t *testing.T, s store.Store, keys ...int64) (was []string) {
	t.Helper()
	require.NoError(t, s.Commit(t.Context(), store.Keys{Runs: keys}, func(snap *store.Snapshot) *store.Changes {
		c := &store.Changes{}
		was = nil
		for _, key := range keys {
			run := *snap.Runs[key]
			was = append(was, string(run.State))
			run.State = append(slices.Clone(run.State), 'x')
			c.PutRuns = append(c.PutRuns, &run)
		}
		return c
	}))
	return was
}

// While a process is alone, what it wrote is not compared; as soon as another
// writes, all that was written before is, also what comes up much later.
func TestNotAloneAnyMore(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	c := p.client(t)
	by := func() string { return c.Get(t.Context(), p.key("by")).Val() }
	keys, _ := begin(t, s, beat(t, s), 3)
	a, b, third := keys[0], keys[1], keys[2]

	first := by()
	for range 3 {
		step(t, s, a, b, third)
	}
	require.Equal(t, first, by(), "nobody else has written")

	require.Equal(t, []string{"xxx"}, step(t, other, third))
	require.Equal(t, []string{"xxx", "xxxx"}, step(t, s, a, third), "though it knows of nobody else yet")
	step(t, s, a, b, third)

	require.Equal(t, []string{"xxxxx"}, step(t, other, a))
	require.NotEqual(t, first, by())
	step(t, s, b) // from here on it is alone again, but what it knows of a is old
	second := by()
	step(t, s, b)
	require.Equal(t, second, by())
	require.NotEqual(t, first, second)
	require.Equal(t, []string{"xxxxxx", "xxxxxx", "xxxxxx"}, step(t, s, a, b, third))
	require.Equal(t, []string{"xxxxxxx", "xxxxxxx", "xxxxxxx"}, step(t, other, a, b, third))
}

// What a reaper frees is looked at again.
func TestAloneButForAReaper(t *testing.T) {
	p := newPlace(t, shared(t))
	s, other := p.open(t, store.Options{}), p.open(t, store.Options{})
	defer s.Close()
	defer other.Close()
	worker := beat(t, s)
	keys, seqs := begin(t, s, worker, 1)
	step(t, s, keys...)
	_, err := other.Reap(t.Context(), store.Reap{Workers: []int64{worker}, Limit: 10})
	require.NoError(t, err)
	held := true
	require.NoError(t, s.Commit(t.Context(), store.Keys{Holds: seqs}, func(snap *store.Snapshot) *store.Changes {
		held = snap.Holds[seqs[0]].Worker == worker
		return set(1)(snap)
	}))
	require.False(t, held, "somebody else may have it by now")
}

// A message that this process holds and deletes is gone, though it is not looked
// at before.
func TestAloneDeletes(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	worker := beat(t, s)
	_, seqs := begin(t, s, worker, 2)
	for _, seq := range seqs {
		require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: worker, Holds: []int64{seq}}, func(snap *store.Snapshot) *store.Changes {
			require.Equal(t, worker, snap.Holds[seq].Worker)
			return &store.Changes{DeleteMessages: []int64{seq}}
		}))
	}
	require.Zero(t, p.client(t).Exists(t.Context(), p.key("mb"), p.key("m:"+store.Num(seqs[0])[:11])).Val())
}

// An update of what is gone does nothing, and what it was to write is not taken
// to be there, though this process is alone.
func TestAloneWithWhatIsGone(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	worker := beat(t, s)
	keys, seqs := begin(t, s, worker, 2)
	require.NoError(t, s.Commit(t.Context(), store.Keys{}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{DeleteMessages: seqs[:1]}
	}))
	never := seqs[0] // no run has this number
	put := func(*store.Snapshot) *store.Changes {
		return &store.Changes{
			PutMessages: []*store.Message{{Seq: seqs[0], Topic: "topic", Worker: worker}},
			PutRuns:     []*store.Run{{Key: never, ID: "never", Status: store.Running}},
		}
	}
	for _, read := range []store.Keys{{}, {Messages: seqs[:1], Runs: []int64{never, keys[0]}}} {
		require.NoError(t, s.Commit(t.Context(), read, put))
		var hold store.Hold
		require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: worker, Holds: seqs[:1]}, func(snap *store.Snapshot) *store.Changes {
			hold = snap.Holds[seqs[0]]
			return set(1)(snap)
		}))
		require.Zero(t, hold)
		var run *store.Run
		require.NoError(t, s.Commit(t.Context(), store.Keys{Runs: []int64{never}}, func(snap *store.Snapshot) *store.Changes {
			run = snap.Runs[never]
			return put(snap)
		}))
		require.Nil(t, run)
	}
	found, err := s.Find(t.Context(), store.Query{Runs: &store.RunQuery{}})
	require.NoError(t, err)
	require.Len(t, found.Runs, 2)
}

// A message that this process holds goes back to its queue, a name of one that
// it deletes is free again, and a run that it ends can be purged, though it is
// alone.
func TestAloneWithIndexes(t *testing.T) {
	p := newPlace(t, shared(t))
	s := p.open(t, store.Options{})
	defer s.Close()
	worker := beat(t, s)
	keys, seqs := begin(t, s, worker, 1)
	step(t, s, keys[0])
	var timer int64
	require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: worker, Holds: seqs}, func(snap *store.Snapshot) *store.Changes {
		require.Equal(t, worker, snap.Holds[seqs[0]].Worker)
		timer = snap.NextSeq
		return &store.Changes{Seqs: 1, PutMessages: []*store.Message{
			{Seq: seqs[0], Run: keys[0], Topic: "topic"},
			{Seq: timer, Run: keys[0], Topic: "other", Name: "timer", Worker: worker},
		}}
	}))
	got, err := s.Grab(t.Context(), store.Grab{Worker: worker, Topics: []string{"topic"}, Limit: 10})
	require.NoError(t, err)
	require.Len(t, got.Messages, 1)
	require.Equal(t, seqs[0], got.Messages[0].Seq)

	c := p.client(t)
	require.EqualValues(t, 1, c.HLen(t.Context(), p.key("name")).Val())
	require.NoError(t, s.Commit(t.Context(), store.Keys{Worker: worker, Holds: []int64{timer}}, func(*store.Snapshot) *store.Changes {
		return &store.Changes{DeleteMessages: []int64{timer}}
	}))
	require.Zero(t, c.HLen(t.Context(), p.key("name")).Val())

	require.NoError(t, s.Commit(t.Context(), store.Keys{Runs: keys}, func(snap *store.Snapshot) *store.Changes {
		run := *snap.Runs[keys[0]]
		run.Status, run.Ended = store.Finished, 1
		return &store.Changes{PutRuns: []*store.Run{&run}}
	}))
	n, err := s.Purge(t.Context(), store.Purge{EndedBefore: 2, Limit: 10})
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
