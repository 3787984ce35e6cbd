package postgres

import (
	"errors"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/known"
)

// xmin marks a version of a run or row: the low half of the id of the
// transaction that wrote it, as the server shows it in the column of that name.
type xmin int32

// guess is how that stood on which a commit was decided without reading it.
// millrace_write checks all of it. A nil guess is about nothing.
type guess struct {
	home  string // the store
	fence int64  // worker that must be there, or 0
	age   int64  // of what is known of the server
	runs  map[int64]xmin
	rows  map[store.RowKey]xmin
}

// run returns the mark of a run, 0 if it is not to be checked.
func (g *guess) run(key int64) xmin {
	if g == nil {
		return 0
	}
	return g.runs[key]
}

// row returns the mark of a row, 0 if it is not to be checked.
func (g *guess) row(key store.RowKey) xmin {
	if g == nil {
		return 0
	}
	return g.rows[key]
}

// foresee decides a commit on what is known here. It returns false if that is
// not enough, or if writing the changes would not check all of it.
func (c *commit) foresee() bool {
	s := c.s
	now, ok := s.time()
	if !ok || s.trust.Skip() {
		return false
	}
	age := s.pool.now()
	s.numbers.mu.Lock()
	defer s.numbers.mu.Unlock()
	if !s.numbers.fresh(age, spare) {
		return false
	}
	for {
		snap := &store.Snapshot{Now: now, NextSeq: s.numbers.next, Alive: c.keys.Worker != 0}
		marks, ok := s.recall(age, &c.keys, snap)
		if !ok {
			return false
		}
		changes := tentative(c.decide, snap)
		switch {
		case changes == nil, changes.More == nil && changes.Empty(), len(changes.Publish) > 0:
			return false // what nothing is written for is not checked
		case changes.More != nil:
			c.keys = joined(c.keys, changes.More)
			continue
		case changes.Seqs > s.numbers.end-s.numbers.next, check(changes, snap) != nil:
			return false
		}
		g := &guess{home: *s.name.Load(), fence: c.keys.Worker, age: age}
		if !g.covers(c.keys.Holds, marks, changes) {
			return false
		}
		s.numbers.next += max(changes.Seqs, int64(len(c.keys.RunIDs))) // absent ids have some, negated
		c.guess, c.snap, c.changes = g, snap, changes
		return true
	}
}

// recall adds to a snapshot what keys name, if all of it is known. That messages
// are held by the worker is taken for granted.
func (s *Store) recall(age int64, keys *store.Keys, snap *store.Snapshot) (known.Marks[xmin], bool) {
	if len(keys.Messages)+len(keys.Lists)+len(keys.Free)+len(keys.Named) > 0 {
		return known.Marks[xmin]{}, false
	}
	snap.Holds = room(snap.Holds, len(keys.Holds))
	for _, seq := range keys.Holds {
		snap.Holds[seq] = store.Hold{Exists: true, Worker: keys.Worker}
	}
	return s.cache.read(age, keys, snap)
}

// spare is how many numbers a commit is expected to use at most. One that uses
// more is decided again.
const spare = 1024

// tentative decides on what may never have been so; what can't be decided then
// is read.
func tentative(decide store.Decide, snap *store.Snapshot) (c *store.Changes) {
	defer func() {
		if recover() != nil {
			c = nil
		}
	}()
	return decide(snap)
}

// covers takes up marks, and reports whether writing changes checks all that
// they were decided on: each message that was held, run and row is written.
// What was absent is always checked.
func (g *guess) covers(holds []int64, marks known.Marks[xmin], c *store.Changes) bool {
	touched := make(map[int64]bool, len(c.DeleteMessages)+len(c.PutMessages))
	for _, seq := range c.DeleteMessages {
		touched[seq] = true
	}
	for _, m := range c.PutMessages {
		touched[m.Seq] = true
	}
	for _, seq := range holds {
		if !touched[seq] {
			return false
		}
	}
	return g.coversRuns(marks.Runs, c) && g.coversRows(marks.Rows, c)
}

func (g *guess) coversRuns(marks []known.Standing[int64, xmin], c *store.Changes) bool {
	g.runs = make(map[int64]xmin, len(marks))
	for _, m := range marks {
		g.runs[m.Key] = m.Mark
	}
	put := 0
	for _, r := range c.PutRuns {
		if g.runs[r.Key] != 0 {
			put++
		}
	}
	return put == len(g.runs)
}

func (g *guess) coversRows(marks []known.Standing[store.RowKey, xmin], c *store.Changes) bool {
	g.rows = make(map[store.RowKey]xmin, len(marks))
	for _, m := range marks {
		if m.Mark != 0 {
			g.rows[m.Key] = m.Mark
		}
	}
	put := 0
	for _, r := range c.PutRows {
		if g.rows[r.RowKey] != 0 {
			put++
		}
	}
	for _, key := range c.DeleteRows {
		if g.rows[key] != 0 {
			put++
		}
	}
	return put == len(g.rows)
}

// send has the server check and write what was decided on a guess, in one
// statement. It is sure of what came of it, or the commit is to be decided anew
// on what the database has.
func (c *commit) send() (sure bool, err error) {
	s := c.s
	x, err := s.pool.take(c.ctx)
	if err != nil {
		return true, err
	}
	c.x = x
	if x.age != c.guess.age { // it may be another server, which counts transactions anew
		c.give()
		return false, nil
	}
	w := c.changer()
	w.fresh = s.numbers.low()
	asked := time.Now()
	err = w.apply(c.changes)
	switch {
	case err == nil:
		s.heard(asked, w.now)
		if w.fresh {
			s.numbers.offer(x.age, asked, w.numbers, w.numbers+blockSize)
		}
		s.trust.Right()
		c.landed(w)
		s.tellOthers(x)
		c.give()
		return true, nil
	case x.broken:
		idle := ended(err) && c.lost == 0
		err = c.settle(w, err)
		s.cache.doubt(&c.keys, c.changes)
		if idle && errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			c.lost++
			return false, nil
		}
		return true, err
	}
	c.give()
	s.cache.doubt(&c.keys, c.changes)
	if !c.again(err) {
		return true, err
	}
	s.trust.Wrong()
	return false, nil
}

// cache is what this Store has written last. What it knows may be old.
type cache struct {
	mu sync.Mutex
	known.Cache[xmin]
	age int64 // of the sessions by which all of it was written
}

// read adds what is known to a snapshot, if that was written by sessions of an
// age.
func (c *cache) read(age int64, keys *store.Keys, snap *store.Snapshot) (known.Marks[xmin], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.age != age {
		c.Clear()
		c.age = age
	}
	return c.Read(keys, snap)
}

// wrote takes up what a transaction has written on a session of an age; xid is 0
// if it is not known which.
func (c *cache) wrote(age, xid int64, snap *store.Snapshot, changes *store.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Tidy()
	if c.age != age {
		xid = 0
	}
	for key, row := range snap.Rows { // what was read may change unnoticed
		if row != nil {
			c.DoubtRow(key)
		} else {
			c.DropRow(key)
		}
	}
	if mark := xmin(xid); mark != 0 {
		c.Wrote(mark, changes)
		return
	}
	c.Doubt(changes)
}

// saw notes which rows there are that it does not know.
func (c *cache) saw(snap *store.Snapshot) { c.wrote(0, 0, snap, &store.Changes{}) }

// doubt forgets what a commit that failed was about: it may have been decided
// on what is not so.
func (c *cache) doubt(keys *store.Keys, changes *store.Changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Tidy()
	for _, key := range keys.Runs {
		c.DropRun(key)
	}
	for _, id := range keys.RunIDs {
		c.DropID(id)
	}
	for _, key := range keys.Rows {
		c.DoubtRow(key)
	}
	c.Doubt(changes)
}

// numbers are for messages and runs of commits that draw none by themselves.
type numbers struct {
	mu        sync.Mutex
	age       int64 // of the sessions that drew them
	next, end int64
	drawn     time.Time
	goodFor   time.Duration // numbersAge, but in tests
}

// numbersAge is how long numbers are good for. Older messages go first, and
// numbers tell which are older: those that lie about in one process, while
// others are given out in another, would jump the queue. It must be well below
// floorLag.
const numbersAge = 100 * time.Millisecond

// fresh reports whether so many numbers are there that are not too old, drawn
// from the server that sessions of an age lead to. n.mu must be held.
func (n *numbers) fresh(age, count int64) bool {
	return n.age == age && n.end-n.next >= count && time.Since(n.drawn) < n.goodFor
}

// low reports whether new numbers are wanted soon.
func (n *numbers) low() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.end-n.next < 2*spare || time.Since(n.drawn) > n.goodFor/2
}

// offer takes up numbers from next to before end that a session of an age asked
// for at a time, if they are newer.
func (n *numbers) offer(age int64, asked time.Time, next, end int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if age > n.age || age == n.age && next > n.next {
		n.age, n.next, n.end, n.drawn = age, next, end, asked
	}
}

// heard takes up what the server said that was asked at a time.
func (s *Store) heard(asked time.Time, now store.Instant) {
	if s.config.Options.Now == nil {
		s.pace.Heard(asked, now)
	}
}

// time returns the store's time without asking the server, if it can.
func (s *Store) time() (now store.Instant, ok bool) {
	if s.config.Options.Now != nil {
		return store.At(s.config.Options.Now()), true
	}
	return s.pace.Tell()
}
