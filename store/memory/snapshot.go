package memory

import "github.com/millrace-go/millrace/store"

// read adds to snap what keys name.
func (db *database) read(snap *store.Snapshot, keys *store.Keys) {
	if keys.Worker != 0 {
		snap.Alive = db.alive(keys.Worker)
	}
	db.readHolds(snap, keys.Holds)
	db.readMessages(snap, keys.Messages)
	db.readRuns(snap, keys.Runs)
	db.readRunIDs(snap, keys.RunIDs)
	db.readRows(snap, keys.Rows)
	db.readLists(snap, keys.Lists)
	db.readFree(snap, keys.Free)
	db.readNamed(snap, keys.Named)
}

// room returns a map for n more entries. Most commits name few kinds of rows,
// so a map is made when it is needed.
func room[K comparable, V any](m map[K]V, n int) map[K]V {
	if m == nil && n > 0 {
		return make(map[K]V, n)
	}
	return m
}

func (db *database) readHolds(snap *store.Snapshot, seqs []int64) {
	snap.Holds = room(snap.Holds, len(seqs))
	for _, seq := range seqs {
		var h store.Hold
		if m := db.messages.get(seq); m != nil {
			h = store.Hold{Exists: true, Worker: m.Worker}
		}
		snap.Holds[seq] = h
	}
}

func (db *database) readMessages(snap *store.Snapshot, seqs []int64) {
	snap.Messages = room(snap.Messages, len(seqs))
	for _, seq := range seqs {
		snap.Messages[seq] = db.messages.get(seq)
	}
}

func (db *database) readRuns(snap *store.Snapshot, keys []int64) {
	snap.Runs = room(snap.Runs, len(keys))
	for _, key := range keys {
		snap.Runs[key] = db.runs.get(key)
	}
}

func (db *database) readRunIDs(snap *store.Snapshot, ids []string) {
	snap.RunIDs = room(snap.RunIDs, len(ids))
	for _, id := range ids {
		snap.RunIDs[id] = db.runIDs[id]
	}
}

func (db *database) readRows(snap *store.Snapshot, keys []store.RowKey) {
	snap.Rows = room(snap.Rows, len(keys))
	for _, key := range keys {
		snap.Rows[key] = db.rows.get(key)
	}
}

func (db *database) readLists(snap *store.Snapshot, lists []store.List) {
	snap.Lists = room(snap.Lists, len(lists))
	for _, l := range lists {
		snap.Lists[l] = db.list(l)
	}
}

func (db *database) list(l store.List) []*store.Row {
	var found []*store.Row
	for row := range db.rows.of(l.Kind, l.Owner) {
		if len(found) >= l.Limit {
			break
		}
		found = append(found, row)
	}
	return found
}

func (db *database) readFree(snap *store.Snapshot, frees []store.Free) {
	snap.Free = room(snap.Free, len(frees))
	for _, f := range frees {
		snap.Free[f] = db.free(f)
	}
}

func (db *database) free(f store.Free) []*store.Message {
	var found []*store.Message
	db.freeOfRun.Ascend(&store.Message{Run: f.Run}, func(m *store.Message) bool {
		if m.Run != f.Run || len(found) >= f.Limit {
			return false
		}
		found = append(found, m)
		return true
	})
	return found
}

func (db *database) readNamed(snap *store.Snapshot, names []store.Named) {
	snap.Named = room(snap.Named, len(names))
	for _, n := range names {
		var m *store.Message
		if seq, ok := db.named[n]; ok {
			m = db.messages.get(seq)
		}
		snap.Named[n] = m
	}
}
