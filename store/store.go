package store

import (
	"context"
	"database/sql"
	"time"
)

// Store is the seam to a database. All methods are safe for concurrent use,
// by many processes where the database allows it. Errors other than the
// sentinels of this package are the database's own, and passing.
type Store interface {
	// Commit reads what keys name, calls decide with it, and applies the
	// changes all or nothing. decide is pure; it may be called again, with
	// more rows when its changes ask for More, or with newer ones after a
	// conflict. Changes that are empty write nothing. A nil error means that
	// the changes, and what they were decided on, are durable, as far as the
	// store's setting goes;
	// ErrUnknown that nobody knows; any other error that nothing was
	// written.
	Commit(ctx context.Context, keys Keys, decide Decide) error

	// Grab takes free messages that are due for a live worker (one whose row
	// is there, also if its lease has ended), higher priority first, then
	// older first. A limit of 0 takes none. ErrLeaseLost when the worker is not
	// alive.
	Grab(ctx context.Context, g Grab) (Grabbed, error)

	// Beat registers a worker (Key 0) or keeps one alive. ErrLeaseLost when
	// it was closed.
	Beat(ctx context.Context, b Beat) (Beaten, error)

	// Reap closes workers and frees, piece by piece, what unknown workers
	// hold. Freed messages keep their due time; those that were Published are
	// due at once, since no broker will bring them again.
	Reap(ctx context.Context, r Reap) (Reaped, error)

	// Find lists rows, a page at a time.
	Find(ctx context.Context, q Query) (Found, error)

	// Purge deletes rows whose time has passed, and closed runs that ended
	// before the given time with all rows, of any kind, whose owner is
	// Num(run key) or begins with Num(run key) and a slash; at most limit
	// rows or runs. It returns how many it deleted; 0 means that nothing is
	// left to purge.
	Purge(ctx context.Context, p Purge) (int, error)

	// Close waits for calls under way and releases the database. Later calls
	// return ErrClosed. Closing twice is allowed.
	Close() error
}

// SQL is a store that can commit inside a transaction of the caller's.
type SQL interface {
	Store

	// DB returns the handle to begin such transactions with. On SQLite a
	// transaction of it takes the writer at once.
	DB() *sql.DB

	// CommitTx is Commit inside tx: it takes effect when and if the caller
	// commits tx.
	CommitTx(ctx context.Context, tx *sql.Tx, keys Keys, decide Decide) error
}

// Pipelined is a store that applies a commit faster than it makes it durable:
// the next one can be decided and applied meanwhile.
type Pipelined interface {
	Store

	// CommitAhead is Commit, but returns as soon as the changes are applied
	// and later commits see them. With a nil error, settle blocks until they
	// are durable, and all that was applied before them; its error is
	// ErrUnknown. settle is nil when there is nothing to wait for. It must be
	// called at once: others may wait for what is not settled.
	CommitAhead(ctx context.Context, keys Keys, decide Decide) (settle func() error, err error)
}

// Migrator is a store with a schema.
type Migrator interface {
	// Migrate brings the schema to the newest version that the program
	// knows. Safe to call from many processes at once. It returns the
	// versions before and after. ErrSchema for a newer database.
	Migrate(ctx context.Context) (from, to int, err error)
}

// Waker is a store that tells when other processes may have freed messages.
type Waker interface {
	// Wake blocks until something may be there to grab, or ctx ends.
	Wake(ctx context.Context) error
}

// Publisher is a store whose commits can publish to a broker that lives in the
// same database.
type Publisher interface {
	Store

	// PublishBy makes later commits carry out what translate makes of
	// Changes.Publish, in their own transaction: what was published is seen if
	// and only if the changes are. translate is pure. It is called before the
	// first commit, once.
	PublishBy(translate func([]Publication) ([]Statement, error))
}

// Publication is a message for a topic of a broker.
type Publication struct {
	Topic    string
	UUID     string
	Metadata map[string]string
	Payload  []byte
}

// Statement is one in the store's own language: SQL and its parameters, or a
// command of Redis and its arguments.
type Statement struct {
	Text string
	Args []any
}

// Decide turns what was read into what is to be written. It has no effects
// and may be called several times.
type Decide func(*Snapshot) *Changes

// Keys names what a commit reads. Rows that don't exist are read as absent.
type Keys struct {
	Worker   int64    // fence: is this worker alive?
	Holds    []int64  // seqs of messages of which only the holder is wanted
	Messages []int64  // seqs of messages that are wanted whole
	Runs     []int64  // by key
	RunIDs   []string // by id
	Rows     []RowKey
	Lists    []List  // first rows of an owner
	Free     []Free  // free messages of a run
	Named    []Named // messages of a run by timer name
}

// List reads the first rows of an owner, in the order of their names.
type List struct {
	Kind  RowKind
	Owner string
	Limit int
}

// Free reads the first free messages of a run, in the order of seq.
type Free struct {
	Run   int64
	Limit int
}

// Named reads the message of a run that has a name, free or held.
type Named struct {
	Run  int64
	Name string
}

// Empty reports whether k names nothing.
func (k *Keys) Empty() bool {
	return k.Worker == 0 && len(k.Holds) == 0 && len(k.Messages) == 0 && len(k.Runs) == 0 &&
		len(k.RunIDs) == 0 && len(k.Rows) == 0 && len(k.Lists) == 0 && len(k.Free) == 0 && len(k.Named) == 0
}

// Snapshot is what a commit has read. The core changes none of it: stores may
// share what it points to. A key that was asked for and is absent is present
// in the maps with a nil (Messages, Runs, RunIDs, Rows) or empty value; a key
// that was not asked for is not in the maps.
type Snapshot struct {
	Now      Instant // the store's clock
	NextSeq  int64   // first free number for new messages, runs, joins
	Alive    bool    // whether Keys.Worker is
	Holds    map[int64]Hold
	Messages map[int64]*Message
	Runs     map[int64]*Run
	RunIDs   map[string]*Run
	Rows     map[RowKey]*Row
	Lists    map[List][]*Row
	Free     map[Free][]*Message
	Named    map[Named]*Message
}

// Hold says who holds a message.
type Hold struct {
	Exists bool
	Worker int64
}

// Changes is what a commit writes: put by key and delete by key, nothing
// else. What is deleted is not put too, and deleting comes before putting where
// the two could collide. An update of what is gone does nothing. Numbers from Snapshot.NextSeq on are new: a message or run with such
// a key is inserted, with a smaller one updated.
type Changes struct {
	More *Keys // decide wants these too, and to be called again; nothing is written

	Seqs           int64 // how many numbers from NextSeq on were used
	PutMessages    []*Message
	DeleteMessages []int64
	PutRuns        []*Run
	PutRows        []*Row
	DeleteRows     []RowKey
	Publish        []Publication // only for a Publisher that was told how
}

// Empty reports whether c writes nothing.
func (c *Changes) Empty() bool {
	return len(c.PutMessages) == 0 && len(c.DeleteMessages) == 0 && len(c.PutRuns) == 0 &&
		len(c.PutRows) == 0 && len(c.DeleteRows) == 0
}

// Grab asks for work.
type Grab struct {
	Worker int64
	Topics []string // whose messages are wanted
	Limit  int      // most messages
	Bytes  int      // stop after about so many bytes of body; at least one message is given
	Seqs   []int64  // when set: only these messages, whatever their topic (a claim)
}

// Grabbed is the answer to [Grab].
type Grabbed struct {
	Now      Instant
	Messages []*Message     // now held by the worker
	Stopped  map[int64]bool // runs of these messages that are Stopped, or gone
	// Damaged are those that don't decode: the worker holds them, so that they
	// are not taken again and again, and they keep no others back.
	Damaged []int64
	More    bool    // there may be more that is due
	Next    Instant // when the next free message of these topics falls due; 0: none is known
}

// Reap closes workers and frees messages.
type Reap struct {
	Expired bool    // close workers whose lease has ended
	Workers []int64 // close these, whatever their lease
	After   int64   // free what unknown workers hold, from behind this seq on
	Limit   int     // look at so many messages at most; 0 looks at none
}

// Reaped is the answer to [Reap].
type Reaped struct {
	Now    Instant
	Closed []Worker
	Freed  int
	Next   int64 // After of the next piece; 0: the end was reached
}

// Query asks for rows. Exactly one of the pointers is set.
type Query struct {
	Messages *MessageQuery
	Runs     *RunQuery
	Rows     *RowQuery
	Workers  *WorkerQuery
	Limit    int // default 100
}

// MessageQuery lists messages in the order of seq.
type MessageQuery struct {
	After  int64
	Seqs   []int64 // only these
	Worker int64   // only what this worker holds; 0: all
	Run    int64   // only of this run; 0: all. Not from an index: it looks at all messages.
}

// RunQuery lists runs.
type RunQuery struct {
	Key    int64    // this run
	ID     string   // or this one
	Status []Status // or those of these states; none: all
	After  int64    // behind this key, in the order of keys
	Newest bool     // newest first; After then means before
}

// RowQuery lists rows of one kind in the order of owner and name.
type RowQuery struct {
	Key               *RowKey // only this row; the rest does not count
	Kind              RowKind
	Owner             string
	AllOwners         bool
	AfterOwner, After string // behind this owner (with AllOwners) and name
	Newest            bool   // last first, within one owner; After then means before
}

// WorkerQuery lists all workers.
type WorkerQuery struct{}

// Found is a page of what a query asked for. More says that there is a next
// page, behind the last row of this one.
type Found struct {
	Now      Instant
	Messages []*Message
	Runs     []*Run
	Rows     []*Row
	Workers  []Worker
	Damaged  []int64 // seqs of messages that belong here and don't decode
	More     bool
}

// Purge says what may be deleted.
type Purge struct {
	EndedBefore Instant // runs that ended before; 0: no runs
	Limit       int
}

// Options are common to all drivers.
type Options struct {
	// Now is the store's clock, for tests. Default: the machine's for
	// embedded stores, the server's for others.
	Now func() time.Time

	// NoMigrate refuses a database whose schema is missing or old, with
	// ErrSchema, instead of migrating it at opening.
	NoMigrate bool

	// MigrateLater opens a database whose schema is missing or old as it is:
	// nothing works on it but Migrator.Migrate, until that was called.
	MigrateLater bool
}
