package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/store"
)

var modelChecks = []check{{"any history of calls ends as in the simplest store", matchesModel}}

// matchesModel makes calls at random, on the store and on a model of it that
// is too simple to be wrong. Where they go to one of two handles, as if two
// processes took turns, what each of them knows grows old.
func matchesModel(x *fixture) {
	rapid.Check(x.T, func(t *rapid.T) {
		clock := NewClock(time.Time{})
		s := x.factory.Open(x.T, clock.Options())
		defer s.Close()
		m := &model{
			T: t, clock: clock, store: s, handles: []store.Store{s},
			messages: map[int64]*store.Message{}, rows: map[store.RowKey]*store.Row{}, runs: map[int64]*store.Run{},
		}
		if x.factory.Share != nil && rapid.Bool().Draw(t, "two") {
			other := x.factory.Share(x.T, s, clock.Options())
			defer other.Close()
			m.handles = append(m.handles, other)
		}
		m.begin(t)
		m.workers = map[int64]store.Instant{m.register(): clock.Instant().Add(time.Minute)}
		t.Repeat(map[string]func(*rapid.T){
			"":        m.compare,
			"insert":  m.insert,
			"update":  m.update,
			"delete":  m.delete,
			"grab":    m.grab,
			"claim":   m.claim,
			"reap":    m.reap,
			"beat":    m.beat,
			"rows":    m.putRows,
			"begin":   m.begin,
			"step":    m.step,
			"holds":   m.holds,
			"handle":  func(t *rapid.T) { m.store = rapid.SampledFrom(m.handles).Draw(t, "handle") },
			"purge":   m.purge,
			"advance": func(t *rapid.T) { clock.Advance(rapid.SampledFrom(steps).Draw(t, "by")) },
		})
	})
}

var steps = []time.Duration{time.Microsecond, time.Second, 40 * time.Second}

// model is what a store should hold.
type model struct {
	*rapid.T
	clock    *Clock
	store    store.Store // the handle that is used
	handles  []store.Store
	messages map[int64]*store.Message
	rows     map[store.RowKey]*store.Row
	runs     map[int64]*store.Run
	given    []int64                 // numbers of messages that were there once
	begun    []int64                 // keys of runs that were
	workers  map[int64]store.Instant // until
}

const unknownWorker = 1 << 40

func (m *model) register() int64 {
	b, err := m.store.Beat(context.Background(), store.Beat{Lease: time.Minute})
	require.NoError(m, err)
	return b.Key
}

func (m *model) commit(c func(next int64) *store.Changes, holds ...int64) {
	decide := func(s *store.Snapshot) *store.Changes { return c(s.NextSeq) }
	require.NoError(m, m.store.Commit(context.Background(), store.Keys{Holds: holds}, decide))
}

func (m *model) worker(t *rapid.T) int64 {
	return rapid.SampledFrom(append(sortedKeys(m.workers), unknownWorker)).Draw(t, "worker")
}

func sortedKeys[V any](in map[int64]V) []int64 {
	keys := []int64{}
	for k := range in {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// message draws the columns of a message.
func (m *model) message(t *rapid.T) *store.Message {
	now := m.clock.Instant()
	due := []store.Instant{0, 0, now, now.Add(time.Second), now.Add(time.Minute), store.Never}
	got := &store.Message{
		Topic:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "topic"),
		Run:      rapid.Int64Range(0, 2).Draw(t, "run"),
		Due:      rapid.SampledFrom(due).Draw(t, "due"),
		Priority: rapid.Int16Range(-1, 1).Draw(t, "priority"),
		Payload:  rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "payload"),
	}
	if rapid.Bool().Draw(t, "held") {
		got.Worker = m.worker(t)
	}
	return got
}

func (m *model) insert(t *rapid.T) {
	messages := make([]*store.Message, rapid.IntRange(1, 4).Draw(t, "n"))
	for i := range messages {
		messages[i] = m.message(t)
	}
	m.commit(func(next int64) *store.Changes {
		for i, n := range messages {
			n.Seq = next + int64(i)
		}
		return &store.Changes{Seqs: int64(len(messages)), PutMessages: messages}
	})
	for _, n := range messages {
		m.messages[n.Seq] = n
		m.given = append(m.given, n.Seq)
	}
}

// pick draws the seq of a message.
func (m *model) pick(t *rapid.T) int64 {
	if len(m.messages) == 0 {
		t.Skip("no messages")
	}
	return rapid.SampledFrom(sortedKeys(m.messages)).Draw(t, "seq")
}

func (m *model) update(t *rapid.T) {
	changed := m.message(t)
	changed.Seq = m.pick(t)
	m.commit(func(int64) *store.Changes { return &store.Changes{PutMessages: []*store.Message{changed}} }, changed.Seq)
	m.messages[changed.Seq] = changed
}

func (m *model) delete(t *rapid.T) {
	seq := m.pick(t)
	m.commit(func(int64) *store.Changes { return &store.Changes{DeleteMessages: []int64{seq}} })
	delete(m.messages, seq)
}

// due returns the free messages that are due and wanted, in the order of
// grabbing, and when the next one falls due.
func (m *model) due(wanted func(*store.Message) bool) (due []int64, next store.Instant) {
	now := m.clock.Instant()
	for _, seq := range sortedKeys(m.messages) {
		n := m.messages[seq]
		if n.Held() || n.Due == store.Never || !wanted(n) {
			continue
		}
		if n.Due <= now {
			due = append(due, seq)
		} else if next == 0 || n.Due < next {
			next = n.Due
		}
	}
	slices.SortStableFunc(due, func(a, b int64) int {
		return int(m.messages[b].Priority) - int(m.messages[a].Priority)
	})
	return due, next
}

// take makes a grab, and compares what it got with what is due.
func (m *model) take(g store.Grab, due []int64) store.Grabbed {
	got, err := m.store.Grab(context.Background(), g)
	if _, alive := m.workers[g.Worker]; !alive {
		require.ErrorIs(m, err, store.ErrLeaseLost)
		return store.Grabbed{More: true}
	}
	require.NoError(m, err)
	rest := due[min(len(due), g.Limit):]
	require.Equal(m, append([]int64{}, due[:len(due)-len(rest)]...), seqsOf(got.Messages))
	if len(rest) > 0 {
		require.True(m, got.More)
	}
	if len(due) < g.Limit {
		require.False(m, got.More)
	}
	for _, seq := range seqsOf(got.Messages) {
		held := *m.messages[seq]
		held.Worker = g.Worker
		m.messages[seq] = &held
	}
	return got
}

func (m *model) grab(t *rapid.T) {
	topics := rapid.SampledFrom([][]string{{"a"}, {"b"}, {"a", "b"}}).Draw(t, "topics")
	due, next := m.due(func(n *store.Message) bool { return slices.Contains(topics, n.Topic) })
	g := store.Grab{Worker: m.worker(t), Topics: topics, Limit: rapid.IntRange(1, 5).Draw(t, "limit")}
	if got := m.take(g, due); !got.More {
		require.Equal(m, next, got.Next)
	}
}

func (m *model) claim(t *rapid.T) {
	seqs := []int64{m.pick(t), m.pick(t), m.pick(t)}
	due, _ := m.due(func(n *store.Message) bool { return slices.Contains(seqs, n.Seq) })
	m.take(store.Grab{Worker: m.worker(t), Seqs: seqs, Limit: len(seqs)}, due)
}

func (m *model) beat(t *rapid.T) {
	if len(m.workers) == 0 || rapid.Bool().Draw(t, "new") {
		m.workers[m.register()] = m.clock.Instant().Add(time.Minute)
		return
	}
	w := m.worker(t)
	b, err := m.store.Beat(context.Background(), store.Beat{Worker: store.Worker{Key: w}, Lease: time.Second})
	if _, alive := m.workers[w]; !alive {
		require.ErrorIs(m, err, store.ErrLeaseLost)
		return
	}
	require.NoError(m, err)
	m.workers[w] = b.Until
}

func (m *model) reap(t *rapid.T) {
	r := store.Reap{Expired: rapid.Bool().Draw(t, "expired"), Limit: 1000}
	if rapid.Bool().Draw(t, "one") {
		r.Workers = []int64{m.worker(t)}
	}
	_, err := m.store.Reap(context.Background(), r)
	require.NoError(m, err)
	for w, until := range m.workers {
		if r.Expired && until < m.clock.Instant() || slices.Contains(r.Workers, w) {
			delete(m.workers, w)
		}
	}
	for seq, n := range m.messages {
		if _, alive := m.workers[n.Worker]; !alive {
			freed := *n
			freed.Worker = 0
			m.messages[seq] = &freed
		}
	}
}

func (m *model) putRows(t *rapid.T) {
	now := m.clock.Instant()
	row := &store.Row{
		RowKey: store.RowKey{
			Kind:  rapid.SampledFrom([]store.RowKind{store.Inbox, store.Lock}).Draw(t, "kind"),
			Owner: rapid.SampledFrom([]string{"", "o", "p"}).Draw(t, "owner"),
			Name:  rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "name"),
		},
		Until: rapid.SampledFrom([]store.Instant{0, now, now.Add(time.Second)}).Draw(t, "until"),
		Body:  rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "body"),
	}
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		m.commit(func(int64) *store.Changes { return &store.Changes{DeleteRows: []store.RowKey{row.RowKey}} })
		delete(m.rows, row.RowKey)
		return
	}
	m.commit(func(int64) *store.Changes { return &store.Changes{PutRows: []*store.Row{row}} })
	m.rows[row.RowKey] = row
}

// ahead is how many numbers a first run leaves out: no run has the number of
// one that messages of the model belong to.
const ahead = 10

func (m *model) begin(t *rapid.T) {
	runs := make([]*store.Run, rapid.IntRange(1, 3).Draw(t, "runs"))
	m.commit(func(next int64) *store.Changes {
		for i := range runs {
			key := next + ahead + int64(i)
			runs[i] = &store.Run{Key: key, ID: store.Num(key), Status: store.Running}
		}
		return &store.Changes{Seqs: ahead + int64(len(runs)), PutRuns: runs}
	})
	for _, r := range runs {
		m.runs[r.Key] = r
		m.begun = append(m.begun, r.Key)
	}
}

// some draws several of a list, each once.
func some(t *rapid.T, list []int64) []int64 {
	if len(list) == 0 {
		t.Skip("nothing to choose from")
	}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(list), 1, min(len(list), 3), rapid.ID[int64]).Draw(t, "some")
}

// step puts runs with another state. It reads them before if there is another
// process, whose numbers may be new to this one; otherwise it may put one that is
// gone, which does nothing. What is closed stays so.
func (m *model) step(t *rapid.T) {
	keys := some(t, m.begun)
	state := rapid.SliceOfN(rapid.Byte(), 1, 3).Draw(t, "state")
	read := store.Keys{}
	if len(m.handles) > 1 || rapid.Bool().Draw(t, "read") {
		read.Runs = keys
	}
	status, ended := store.Running, store.Instant(0)
	if rapid.Bool().Draw(t, "end") {
		status, ended = store.Finished, m.clock.Instant()
	}
	var changed []*store.Run
	for _, key := range keys {
		run := &store.Run{Key: key, ID: store.Num(key), Status: status, Ended: ended, State: state}
		if was := m.runs[key]; was != nil && was.Status.Closed() {
			run.Status, run.Ended = was.Status, was.Ended
		}
		changed = append(changed, run)
	}
	var got map[int64]*store.Run
	require.NoError(m, m.store.Commit(context.Background(), read, func(s *store.Snapshot) *store.Changes {
		got = s.Runs
		c := &store.Changes{}
		for i, key := range keys {
			if got[key] != nil || read.Runs == nil {
				c.PutRuns = append(c.PutRuns, changed[i])
			}
		}
		return c
	}))
	for i, key := range keys {
		want := m.runs[key]
		if read.Runs != nil {
			m.sameRun(want, got[key])
		}
		if want != nil {
			m.runs[key] = changed[i]
		}
	}
}

func (m *model) sameRun(want, got *store.Run) {
	if want == nil {
		require.Nil(m, got)
		return
	}
	require.NotNil(m, got)
	require.Equal(m, []any{want.Key, want.ID, want.Status, want.Ended, string(want.State)},
		[]any{got.Key, got.ID, got.Status, got.Ended, string(got.State)})
}

// holds reads who holds messages, and then deletes them, or puts others in
// their places, or leaves them.
func (m *model) holds(t *rapid.T) {
	seqs := some(t, m.given)
	what := rapid.SampledFrom([]string{"delete", "put", "leave"}).Draw(t, "what")
	row := &store.Row{RowKey: store.RowKey{Kind: store.Lock, Owner: "holds"}, Body: []byte(what)}
	c := &store.Changes{PutRows: []*store.Row{row}}
	for _, seq := range seqs {
		switch what {
		case "delete":
			c.DeleteMessages = append(c.DeleteMessages, seq)
		case "put":
			changed := m.message(t)
			changed.Seq = seq
			c.PutMessages = append(c.PutMessages, changed)
		}
	}
	worker := m.worker(t)
	var got *store.Snapshot
	require.NoError(m, m.store.Commit(context.Background(), store.Keys{Worker: worker, Holds: seqs}, func(s *store.Snapshot) *store.Changes {
		if got = s; !s.Alive {
			return nil
		}
		sent := *c
		sent.PutMessages = slices.DeleteFunc(slices.Clone(c.PutMessages), func(n *store.Message) bool {
			return len(m.handles) > 1 && !s.Holds[n.Seq].Exists
		})
		return &sent
	}))
	_, alive := m.workers[worker]
	require.Equal(m, alive, got.Alive)
	for _, seq := range seqs {
		want := store.Hold{}
		if n := m.messages[seq]; n != nil {
			want = store.Hold{Exists: true, Worker: n.Worker}
		}
		require.Equal(m, want, got.Holds[seq], "message %d", seq)
	}
	if !alive {
		return
	}
	m.rows[row.RowKey] = row
	for _, seq := range c.DeleteMessages {
		delete(m.messages, seq)
	}
	for _, changed := range c.PutMessages {
		if m.messages[changed.Seq] != nil {
			m.messages[changed.Seq] = changed
		}
	}
}

func (m *model) purge(t *rapid.T) {
	before := rapid.SampledFrom([]store.Instant{0, m.clock.Instant() + 1}).Draw(t, "ended before")
	gone := 0
	for key, run := range m.runs {
		if run.Status.Closed() && run.Ended > 0 && run.Ended < before {
			delete(m.runs, key)
			gone++
		}
	}
	for key, row := range m.rows {
		if row.Until > 0 && row.Until <= m.clock.Instant() {
			delete(m.rows, key)
			gone++
		}
	}
	n, err := m.store.Purge(context.Background(), store.Purge{EndedBefore: before, Limit: 1000})
	require.NoError(m, err)
	require.GreaterOrEqual(m, n, gone) // what was looked at and is not there any more may count
}

// compare compares all that is stored with the model.
func (m *model) compare(*rapid.T) {
	found, err := m.store.Find(context.Background(), store.Query{Messages: &store.MessageQuery{}, Limit: 1000})
	require.NoError(m, err)
	require.Equal(m, sortedKeys(m.messages), seqsOf(found.Messages))
	for _, got := range found.Messages {
		want := m.messages[got.Seq]
		require.Equal(m, columnsOf(want), columnsOf(got))
		require.Equal(m, string(want.Payload), string(got.Payload))
	}
	found, err = m.store.Find(context.Background(), store.Query{Runs: &store.RunQuery{}, Limit: 1000})
	require.NoError(m, err)
	keys := []int64{}
	for _, got := range found.Runs {
		m.sameRun(m.runs[got.Key], got)
		keys = append(keys, got.Key)
	}
	require.Equal(m, sortedKeys(m.runs), keys)
	m.compareReads()
}

func columnsOf(m *store.Message) store.Message {
	c := *m
	c.Payload, c.Meta = nil, nil
	return c
}

// compareReads compares what commits read from indexes.
func (m *model) compareReads() {
	free := store.Free{Run: 1, Limit: 1000}
	list := store.List{Kind: store.Inbox, Owner: "o", Limit: 1000}
	var got *store.Snapshot
	keys := store.Keys{Free: []store.Free{free}, Lists: []store.List{list}}
	require.NoError(m, m.store.Commit(context.Background(), keys, func(s *store.Snapshot) *store.Changes {
		got = s
		return nil
	}))
	wantFree, wantRows := []int64{}, []string{}
	for _, seq := range sortedKeys(m.messages) {
		if n := m.messages[seq]; n.Run == 1 && !n.Held() {
			wantFree = append(wantFree, seq)
		}
	}
	for key, row := range m.rows {
		if key.Kind == store.Inbox && key.Owner == "o" {
			wantRows = append(wantRows, key.Name+string(row.Body))
		}
	}
	slices.Sort(wantRows)
	gotRows := []string{}
	for _, row := range got.Lists[list] {
		gotRows = append(gotRows, row.Name+string(row.Body))
	}
	require.Equal(m, wantFree, seqsOf(got.Free[free]))
	require.Equal(m, wantRows, gotRows)
}
