package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace-go/millrace/store"
)

// Commit implements [store.Store]. decide is called again for More, for more
// numbers than were drawn, and after a conflict with another commit.
//
// It waits for a connection as long as ctx lasts; then it goes on to the end
// whatever becomes of ctx, within [Config].StatementTimeout for each statement.
// When the answer to COMMIT is lost it finds out what became of it, for a
// while. Errors: store.ErrUnavailable (nothing was written), store.ErrUnknown,
// store.ErrCorrupt, store.ErrSchema, store.ErrClosed, the context's, and one
// that names a number that was not given out or a key that exists.
func (s *Store) Commit(ctx context.Context, keys store.Keys, decide store.Decide) error {
	c, err := s.begin(ctx, keys, decide)
	if err != nil {
		return err
	}
	return c.finish()
}

// CommitAhead implements [store.Pipelined]: it returns when the changes are
// decided, and settle sends them. Later commits that are about the same wait
// for it, here or in the database: settle must follow at once, before the
// goroutine commits anything else. Close waits for it.
func (s *Store) CommitAhead(ctx context.Context, keys store.Keys, decide store.Decide) (settle func() error, err error) {
	c, err := s.begin(ctx, keys, decide)
	if err != nil {
		return nil, err
	}
	if c.changes == nil {
		return nil, c.finish()
	}
	return sync.OnceValue(c.finish), nil
}

// commit is one commit on a connection of the store's own.
type commit struct {
	s      *Store
	x      *session
	keys   store.Keys
	decide store.Decide
	ctx    context.Context // as long as it lasts a connection is waited for
	leave  func()
	claim  *claim

	guess   *guess // nil: what was read is locked in the transaction of x
	snap    *store.Snapshot
	changes *store.Changes // nil: nothing to write
	tries   [stale + 1]int // conflicts, by kind
	lost    int            // connections that broke before anything was written
}

// begin decides a commit, on what is known or on what it reads. It must be
// finished.
func (s *Store) begin(ctx context.Context, keys store.Keys, decide store.Decide) (*commit, error) {
	leave, err := s.enter(ctx, "commit")
	if err != nil {
		return nil, err
	}
	c := &commit{s: s, keys: keys, decide: decide, ctx: ctx, leave: leave}
	decided := false
	defer func() {
		if !decided { // or decide has panicked
			c.end()
		}
	}()
	if c.claim, err = s.claims.take(ctx, &keys); err == nil && !c.foresee() {
		err = c.start(ctx)
	}
	decided = err == nil
	return c, explain("commit", err)
}

// end lets others at what the commit was about.
func (c *commit) end() {
	if c.x != nil {
		c.undo()
	}
	c.s.claims.release(c.claim)
	c.leave()
}

// give gives the connection back.
func (c *commit) give() {
	c.s.pool.give(c.x)
	c.x = nil
}

// How often a commit is decided anew. What collides again although it was read
// since is no conflict but an error of the caller's.
const (
	mostCollisions = 4
	mostStale      = 50
)

// again reports whether a commit that failed like this may succeed if it is
// decided anew.
func (c *commit) again(err error) bool {
	kind := conflictOf(err)
	c.tries[kind]++
	return kind == collided && c.tries[kind] <= mostCollisions || kind == stale && c.tries[kind] <= mostStale
}

// start begins, locks, reads and decides. After an error nothing is left of it.
func (c *commit) start(ctx context.Context) error {
	for {
		x, err := c.s.pool.take(ctx)
		if err != nil {
			return err
		}
		c.x = x
		if err = c.prepare(); err == nil {
			return nil
		}
		c.undo()
		if ended(err) && c.lost == 0 {
			c.lost++ // nothing was written
			continue
		}
		if !c.again(err) {
			return err
		}
	}
}

func (c *commit) prepare() error {
	if err := c.x.exec(sqlBegin); err != nil {
		return err
	}
	asked := time.Now()
	snap, changes, err := c.s.resolve(c.x, &c.keys, c.decide)
	c.guess, c.snap, c.changes = nil, snap, changes
	if err == nil {
		used := int64(0)
		if changes != nil {
			used = changes.Seqs
		}
		c.s.numbers.offer(c.x.age, asked, snap.NextSeq+used, snap.NextSeq+blockSize)
	}
	return err
}

// blockSize is how many numbers millrace_load draws.
const blockSize = 4096

// resolve reads and decides until nothing more is wanted. The changes are nil
// when there is nothing to write. What is asked for later is added to keys: when
// all is decided anew, it is locked in one go, in the common order.
func (s *Store) resolve(x executor, keys *store.Keys, decide store.Decide) (*store.Snapshot, *store.Changes, error) {
	r := reader{x: x, at: s.at(), name: *s.name.Load(), snap: &store.Snapshot{}}
	given := int64(blockSize)
	more, fresh := keys, true
	for {
		if more != nil {
			asked := time.Now()
			if err := r.read(more, fresh); err != nil {
				return nil, nil, err
			}
			s.heard(asked, r.snap.Now)
		}
		changes := decide(r.snap)
		if changes == nil || changes.More == nil && changes.Empty() && len(changes.Publish) == 0 {
			return r.snap, nil, nil
		}
		more, fresh = changes.More, false
		if more != nil {
			*keys = joined(*keys, more)
			continue
		}
		if changes.Seqs <= given {
			return r.snap, changes, check(changes, r.snap)
		}
		given = changes.Seqs
		err := x.query(sqlReserve, func(row []driver.Value) error {
			r.snap.NextSeq = integer(row[0])
			return nil
		}, given)
		if err != nil {
			return nil, nil, err
		}
	}
}

// joined returns the keys of both.
func joined(a store.Keys, b *store.Keys) store.Keys {
	if b.Worker != 0 {
		a.Worker = b.Worker
	}
	a.Holds = slices.Concat(a.Holds, b.Holds)
	a.Messages = slices.Concat(a.Messages, b.Messages)
	a.Runs = slices.Concat(a.Runs, b.Runs)
	a.RunIDs = slices.Concat(a.RunIDs, b.RunIDs)
	a.Rows = slices.Concat(a.Rows, b.Rows)
	a.Lists = slices.Concat(a.Lists, b.Lists)
	a.Free = slices.Concat(a.Free, b.Free)
	a.Named = slices.Concat(a.Named, b.Named)
	return a
}

// finish writes what was decided and commits. Conflicts are decided anew.
func (c *commit) finish() error {
	defer c.end()
	return explain("commit", c.write())
}

func (c *commit) write() error {
	if c.guess != nil {
		if sure, err := c.send(); sure {
			return err
		}
		if err := c.start(always); err != nil {
			return err
		}
	}
	for {
		if c.changes == nil {
			c.undo()
			c.s.cache.saw(c.snap)
			return nil
		}
		w := c.changer()
		err := w.apply(c.changes)
		if err == nil {
			err = c.s.publishIn(c.x, c.changes.Publish)
		}
		if err == nil {
			return c.commit(w)
		}
		c.undo()
		if !c.again(err) {
			return err
		}
		if err := c.start(always); err != nil {
			return err
		}
	}
}

func (c *commit) changer() *changer {
	w := &changer{x: c.x, snap: c.snap, guess: c.guess, queues: &c.s.queues, at: c.s.at()}
	w.mark, w.number = c.x.nextMark()
	return w
}

// commit makes the changes durable, and finds out whether they are when the
// answer is lost.
func (c *commit) commit(w *changer) error {
	err := c.x.exec(sqlCommit)
	if err != nil && c.x.broken {
		return c.settle(w, err)
	}
	if err != nil {
		c.undo()
		return err
	}
	c.landed(w)
	c.s.tellOthers(c.x)
	c.give()
	return nil
}

// settle finds out what became of a commit on a connection that broke.
func (c *commit) settle(w *changer, lost error) error {
	old := c.x.backend
	c.give()
	err := c.s.settle(old, w.mark, w.number, lost)
	if err == nil {
		c.landed(w)
	}
	return err
}

// landed notes what a commit brought: what rows are like now, queues that the
// database knows, and free messages.
func (c *commit) landed(w *changer) {
	s := c.s
	age, xid := int64(0), int64(0) // of a lost connection, its answer may be lost too
	if c.x != nil {
		age, xid = c.x.age, w.xid
	}
	s.cache.wrote(age, xid, c.snap, c.changes)
	s.queues.learn(w.news)
	if free := s.queues.lower(c.changes.PutMessages); len(free) > 0 {
		s.waking.freed(free)
	}
}

// undo ends the transaction without effect and gives the connection back.
func (c *commit) undo() {
	if !c.x.broken {
		if err := c.x.exec(sqlRollback); err != nil {
			c.x.broken = true // closing it undoes the transaction
		}
	}
	c.give()
}

// publishIn carries out what a broker in the same database makes of messages.
func (s *Store) publishIn(x *session, list []store.Publication) error {
	if len(list) == 0 {
		return nil
	}
	statements, err := s.translate(list)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if err := x.run(st.Text, st.Args); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) translate(list []store.Publication) ([]store.Statement, error) {
	if s.publish == nil {
		return nil, errors.New("nobody has told how to publish in a commit")
	}
	return s.publish(list)
}

// PublishBy implements [store.Publisher]. Statements are SQL with parameters
// $1, $2 ...; bytes may be given for parameters of type bytea, text, json and
// jsonb.
func (s *Store) PublishBy(translate func([]store.Publication) ([]store.Statement, error)) {
	s.publish = translate
}

// otherStore says that a transaction is on another database.
type otherStore struct{ got, want string }

func (e *otherStore) Error() string {
	return fmt.Sprintf("the transaction is on the store %q, not on %q; begin it with the store's DB", e.got, e.want)
}
