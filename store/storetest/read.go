package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

var readChecks = []check{
	{"holds tell who holds what", holdsTell},
	{"many rows are read at once", manyAtOnce},
	{"runs are found by id", runsByID},
	{"lists are in the order of names and limited", listsInOrder},
	{"free messages of a run are in the order of seq and limited", freeOfRun},
	{"named messages are found, free or held", namedMessages},
	{"a name can move to a new message in one commit", nameMoves},
}

func holdsTell(x *fixture) {
	held := queued()
	held.Worker = 12345
	seqs := x.insert(queued(), held)
	absent := seqs[1] + 1000
	s := x.read(store.Keys{Holds: append(seqs, absent)})
	require.Equal(x, map[int64]store.Hold{
		seqs[0]: {Exists: true}, seqs[1]: {Exists: true, Worker: 12345}, absent: {},
	}, s.Holds)
}

func manyAtOnce(x *fixture) {
	const n = 1500 // more than the 999 parameters of an old SQLite
	seqs := x.insert(many(n)...)
	c := &store.Changes{}
	var keys []store.RowKey
	for i := range n {
		keys = append(keys, store.RowKey{Kind: store.Result, Owner: fmt.Sprint(i % 7), Name: store.Num(int64(i))})
		c.PutRows = append(c.PutRows, &store.Row{RowKey: keys[i], Body: []byte(label(i))})
	}
	x.write(c)
	s := x.read(store.Keys{Messages: seqs, Holds: seqs, Rows: keys})
	for i := range n {
		require.Equal(x, seqs[i], s.Messages[seqs[i]].Seq)
		require.True(x, s.Holds[seqs[i]].Exists)
		require.Equal(x, label(i), string(s.Rows[keys[i]].Body))
	}
	x.write(&store.Changes{DeleteMessages: seqs, DeleteRows: keys})
	s = x.read(store.Keys{Messages: seqs[:1], Rows: keys[n-1:]})
	require.Nil(x, s.Messages[seqs[0]])
	require.Nil(x, s.Rows[keys[n-1]])
}

func runsByID(x *fixture) {
	var runs []*store.Run
	var ids []string
	for i := range 300 {
		ids = append(ids, "run-"+label(i))
		runs = append(runs, &store.Run{ID: ids[i], Name: label(i), Status: store.Running})
	}
	keys := x.insertRuns(runs...)
	s := x.read(store.Keys{RunIDs: append(ids, "absent"), Runs: keys})
	for i, id := range ids {
		require.Equal(x, keys[i], s.RunIDs[id].Key)
		require.Equal(x, id, s.Runs[keys[i]].ID)
	}
	require.Len(x, s.RunIDs, len(ids)+1)
	require.Nil(x, s.RunIDs["absent"])
}

func listsInOrder(x *fixture) {
	c := &store.Changes{}
	for _, i := range []int{4, 0, 3, 1, 2} {
		for _, owner := range []string{"a", "ab", "b"} {
			key := store.RowKey{Kind: store.Chunk, Owner: owner, Name: store.Num(int64(i) * 40)}
			c.PutRows = append(c.PutRows, &store.Row{RowKey: key, Body: []byte(owner)})
		}
	}
	c.PutRows = append(c.PutRows, &store.Row{RowKey: store.RowKey{Kind: store.Event, Owner: "a", Name: "0"}})
	x.write(c)
	all, some := store.List{Kind: store.Chunk, Owner: "a", Limit: 9}, store.List{Kind: store.Chunk, Owner: "ab", Limit: 2}
	s := x.read(store.Keys{Lists: []store.List{all, some}})
	require.Equal(x, numbered("a", 0, 40, 80, 120, 160), namesOf(s.Lists[all]))
	require.Equal(x, numbered("ab", 0, 40), namesOf(s.Lists[some]))
	require.Equal(x, "ab", string(s.Lists[some][0].Body))
}

func numbered(owner string, numbers ...int64) []string {
	names := []string{}
	for _, n := range numbers {
		names = append(names, owner+"/"+store.Num(n))
	}
	return names
}

func freeOfRun(x *fixture) {
	held := &store.Message{Topic: "q", Run: 7, Worker: 12345}
	parked := &store.Message{Topic: "q", Run: 7, Due: store.Never, Priority: 9}
	later := &store.Message{Topic: "other", Run: 7, Due: x.clock.Instant() + 1000}
	now := &store.Message{Topic: "q", Run: 7, Payload: raw}
	foreign := &store.Message{Topic: "q", Run: 8}
	seqs := x.insert(held, parked, foreign, later, now)
	all, some := store.Free{Run: 7, Limit: 10}, store.Free{Run: 7, Limit: 2}
	s := x.read(store.Keys{Free: []store.Free{all, some}})
	require.Equal(x, []int64{seqs[1], seqs[3], seqs[4]}, seqsOf(s.Free[all]))
	require.Equal(x, []int64{seqs[1], seqs[3]}, seqsOf(s.Free[some]))
	requireMessage(x, now, s.Free[all][2])
}

func namedMessages(x *fixture) {
	held := &store.Message{Topic: "q", Run: 7, Name: "held", Worker: 12345}
	parked := &store.Message{Topic: "q", Run: 7, Name: "parked", Due: store.Never}
	foreign := &store.Message{Topic: "q", Run: 8, Name: "parked"}
	x.insert(held, parked, foreign, queued(), &store.Message{Topic: "q", Run: 7})
	names := []store.Named{{Run: 7, Name: "held"}, {Run: 7, Name: "parked"}, {Run: 8, Name: "parked"}, {Run: 8, Name: "held"}}
	s := x.read(store.Keys{Named: names})
	requireMessage(x, held, s.Named[names[0]])
	requireMessage(x, parked, s.Named[names[1]])
	requireMessage(x, foreign, s.Named[names[2]])
	require.Nil(x, s.Named[names[3]])

	x.write(&store.Changes{DeleteMessages: []int64{parked.Seq}})
	require.Nil(x, x.read(store.Keys{Named: names}).Named[names[1]])
}

func nameMoves(x *fixture) {
	name := store.Named{Run: 7, Name: "timer"}
	old := x.insert(&store.Message{Topic: "q", Run: 7, Name: "timer", Due: store.Never})[0]
	var moved int64
	x.change(store.Keys{Named: []store.Named{name}}, func(s *store.Snapshot) *store.Changes {
		moved = s.NextSeq
		return &store.Changes{
			Seqs:           1,
			PutMessages:    []*store.Message{{Seq: moved, Topic: "q", Run: 7, Name: "timer", Due: 5}},
			DeleteMessages: []int64{old},
		}
	})
	require.Equal(x, moved, x.read(store.Keys{Named: []store.Named{name}}).Named[name].Seq)
}
