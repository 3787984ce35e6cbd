package storetest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var opaqueChecks = []check{
	{"bodies and payloads keep every byte", bodiesKeepBytes},
	{"names keep quotes, newlines and SQL text", namesKeepText},
	{"a megabyte is kept", megabyte},
	{"a damaged message is ErrCorrupt", damagedMessage},
	{"a damaged run is ErrCorrupt", damagedRun},
}

// nasty is what a careless driver would mangle or execute.
var nasty = []string{
	`'; DROP TABLE messages; --`,
	`"quoted" 'quoted' \back\slash` + "`tick`",
	"line\nline\r\n\ttab",
	"%s %d $1 ?1 :name @name ${x} {{x}}",
	"redis.call('FLUSHALL')",
	"grüße 漢字 🚀 \u202e",
	" leading and trailing ",
	"a/b/c\x1f\x7f",
	"~", "*", "_", "%",
}

// raw is what is no text.
var raw = []byte("\x00nul\x00\xff\xfe\x80invalid utf-8 '\"\n\x00")

func fullMessage() *store.Message {
	return &store.Message{
		Topic: "q", Run: 77, Name: "timer", Due: 55, Priority: 7, Worker: 0, Published: 3,
		Kind: store.Tick, ID: "0192-id", RunID: "run id", Task: "svc/task", Join: "a join", Index: 3, Joined: true,
		Key: "exclusive", Saga: "saga", Undo: 2, Attempt: 4, Tries: 6, First: 44, Staged: 5, Scope: "scope", Number: 66, Home: "home", HomeSeq: 67, Lent: true,
		Payload: raw, Meta: map[string]string{"k": "v", "": "empty", "raw": string(raw)},
	}
}

func fullRun() *store.Run {
	r := &store.Run{
		ID: "run id", Name: "svc/task", Status: store.Failing, Ended: 0,
		Saga: true, Slot: 9, Version: 2, Open: 3, Waiting: 1, Dead: 1, Undos: 4, State: raw, Revision: 5,
		Result: raw, Error: string(raw), Cancel: true, Nonce: "nonce", OnDead: 2,
		Started: 11, Updated: 12, Entries: 13, Pages: 2, Tail: raw,
	}
	copy(r.Input[:], raw)
	copy(r.Head[:], "head")
	return r
}

func requireMessage(x *fixture, want, got *store.Message) {
	x.Helper()
	require.NotNil(x, got)
	w, g := *want, *got
	require.Equal(x, string(w.Payload), string(g.Payload))
	if len(w.Meta)+len(g.Meta) > 0 {
		require.Equal(x, w.Meta, g.Meta)
	}
	w.Payload, g.Payload, w.Meta, g.Meta = nil, nil, nil, nil
	require.Equal(x, w, g)
}

func requireRun(x *fixture, want, got *store.Run) {
	x.Helper()
	require.NotNil(x, got)
	w, g := *want, *got
	require.Equal(x, string(w.State), string(g.State))
	require.Equal(x, string(w.Result), string(g.Result))
	require.Equal(x, string(w.Tail), string(g.Tail))
	w.State, g.State, w.Result, g.Result, w.Tail, g.Tail = nil, nil, nil, nil, nil, nil
	require.Equal(x, w, g)
}

// M7
func bodiesKeepBytes(x *fixture) {
	w := x.worker()
	m, r := fullMessage(), fullRun()
	key := x.insertRuns(r)[0]
	x.insert(m)
	row := store.RowKey{Kind: store.Result, Owner: "o", Name: "n"}
	x.write(&store.Changes{PutRows: []*store.Row{{RowKey: row, Body: raw}}})

	requireMessage(x, m, x.message(m.Seq))
	requireRun(x, r, x.run(key))
	require.Equal(x, raw, x.row(row).Body)
	requireMessage(x, m, x.find(store.Query{Messages: &store.MessageQuery{}}).Messages[0])
	requireRun(x, r, x.find(store.Query{Runs: &store.RunQuery{}}).Runs[0])
	require.Equal(x, raw, x.find(store.Query{Rows: &store.RowQuery{Kind: store.Result, Owner: "o"}}).Rows[0].Body)

	m.Worker = w
	requireMessage(x, m, x.grab(store.Grab{Worker: w, Topics: []string{"q"}, Limit: 1}).Messages[0])
}

// M7
func namesKeepText(x *fixture) {
	w := x.worker()
	for _, name := range nasty {
		key := store.RowKey{Kind: store.Lock, Owner: name, Name: name}
		run := x.insertRuns(&store.Run{ID: name, Name: name, Status: store.Running})[0]
		seq := x.insert(&store.Message{Topic: name, Run: run, Name: name, ID: name})[0]
		x.putRow(key, name)

		named := store.Named{Run: run, Name: name}
		list := store.List{Kind: store.Lock, Owner: name, Limit: 5}
		s := x.read(store.Keys{
			RunIDs: []string{name}, Rows: []store.RowKey{key},
			Named: []store.Named{named}, Lists: []store.List{list},
		})
		require.Equal(x, name, s.RunIDs[name].Name)
		require.Equal(x, &store.Row{RowKey: key, Body: []byte(name)}, s.Rows[key])
		require.Equal(x, seq, s.Named[named].Seq)
		require.Equal(x, []string{name + "/" + name}, namesOf(s.Lists[list]))
		got := x.grab(store.Grab{Worker: w, Topics: []string{name}, Limit: 5}).Messages
		require.Len(x, got, 1, name)
		require.Equal(x, name, got[0].Topic)
		require.Equal(x, name, got[0].Name)
		require.Equal(x, key.Owner, x.find(store.Query{Rows: &store.RowQuery{Kind: store.Lock, Owner: name}}).Rows[0].Owner)
		require.Equal(x, run, x.find(store.Query{Runs: &store.RunQuery{ID: name}}).Runs[0].Key)
	}
	require.Len(x, x.find(store.Query{Messages: &store.MessageQuery{}}).Messages, len(nasty))
}

// M7
func megabyte(x *fixture) {
	m := queued()
	m.Payload = []byte(strings.Repeat("0123456789abcdef", 1<<16))
	seq := x.insert(m)[0]
	requireMessage(x, m, x.message(seq))
}

func damagedMessage(x *fixture) {
	if x.factory.DamageMessage == nil {
		x.Skip("the suite can't damage messages of this store")
	}
	seqs := x.insert(queued(), queued())
	x.factory.DamageMessage(x, x.store, seqs[0])
	requireCorrupt(x, store.Keys{Messages: seqs[:1]})
	found, err := x.store.Find(x.Context(), store.Query{Messages: &store.MessageQuery{}})
	require.NoError(x, err)
	require.Equal(x, seqs[:1], found.Damaged)
	require.Len(x, found.Messages, 1, "the others can still be read")
	got, err := x.store.Grab(x.Context(), store.Grab{Worker: x.worker(), Topics: []string{queued().Topic}, Limit: 10})
	require.NoError(x, err)
	require.Equal(x, seqs[:1], got.Damaged)
	require.Len(x, got.Messages, 1, "the others can still be grabbed")
}

func damagedRun(x *fixture) {
	if x.factory.DamageRun == nil {
		x.Skip("the suite can't damage runs of this store")
	}
	keys := x.insertRuns(&store.Run{ID: "a", Status: store.Running}, &store.Run{ID: "b", Status: store.Running})
	x.factory.DamageRun(x, x.store, keys[0])
	requireCorrupt(x, store.Keys{Runs: keys[:1]})
	requireCorrupt(x, store.Keys{RunIDs: []string{"a"}})
	_, err := x.store.Find(x.Context(), store.Query{Runs: &store.RunQuery{Key: keys[0]}})
	require.ErrorIs(x, err, store.ErrCorrupt)
	require.NotNil(x, x.run(keys[1]), "the others can still be read")
}

// requireCorrupt requires that a commit that reads keys fails and writes
// nothing.
func requireCorrupt(x *fixture, keys store.Keys) {
	x.Helper()
	row := store.RowKey{Kind: store.Event, Owner: "corrupt", Name: "n"}
	err := x.store.Commit(x.Context(), keys, func(*store.Snapshot) *store.Changes {
		return &store.Changes{PutRows: []*store.Row{{RowKey: row}}}
	})
	require.ErrorIs(x, err, store.ErrCorrupt)
	require.Nil(x, x.row(row))
}
