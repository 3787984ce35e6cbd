package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/millrace-go/millrace/store"
)

// wal makes commits durable by flushing SQLite's write-ahead log, apart from
// making them: the writer's connection commits with synchronous=NORMAL, which
// appends to the log and waits for nothing, and who needs the commit on disk
// awaits the flush of the log while the next commit is made. One flush serves
// all commits before it. The log is written in order, so what is on disk is
// always a prefix of what was committed; a checkpoint, also in NORMAL, flushes
// the log before it copies it (https://sqlite.org/wal.html, "Performance
// Considerations").
type wal struct {
	path string

	mu       sync.Mutex
	changed  *sync.Cond
	written  int64 // commits appended, and times that others were seen to have appended some
	durable  int64 // of these, on disk
	flushing bool
	err      error // of a flush: what the system then holds in memory can't be trusted any more
	file     *os.File
}

func newWAL(database string) *wal {
	w := &wal{path: database + "-wal"}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// append counts a commit that was made, and returns its number.
func (w *wal) append() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written++
	return w.written
}

// last returns the number of the last commit, or 0 if all are on disk.
func (w *wal) last() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.durable == w.written {
		return 0
	}
	return w.written
}

// await blocks until commit n is on disk. The error wraps store.ErrUnknown:
// the commit is made, and may be undone by a loss of power. A failed flush
// fails all later ones, since a system may forget what it could not write.
func (w *wal) await(n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.durable < n && w.err == nil {
		if w.flushing {
			w.changed.Wait()
			continue
		}
		w.flushNow()
	}
	if w.durable < n {
		return fmt.Errorf("%w: flush %s, restart this process to go on: %w", store.ErrUnknown, w.path, w.err)
	}
	return nil
}

// flushNow flushes what is appended so far, with the lock released meanwhile.
func (w *wal) flushNow() {
	upTo := w.written
	w.flushing = true
	w.mu.Unlock()
	err := w.flush()
	w.mu.Lock()
	w.flushing = false
	if err == nil {
		w.durable = upTo
	} else {
		w.err = err
	}
	w.changed.Broadcast()
}

func (w *wal) flush() error {
	if err := w.open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // SQLite has brought all of it into the database, and flushed that
		}
		return err
	}
	return fdatasync(w.file)
}

// open makes file the log that SQLite writes to now: it makes a new one when
// all connections were closed.
func (w *wal) open() error {
	there, err := os.Stat(w.path)
	if err != nil {
		return err
	}
	if w.file != nil {
		if have, err := w.file.Stat(); err == nil && os.SameFile(have, there) {
			return nil
		}
		_ = w.file.Close() // nothing was written through it
		w.file = nil
	}
	if w.file, err = os.OpenFile(w.path, os.O_RDWR, 0); err != nil {
		return err
	}
	return w.keepName()
}

// keepName flushes the directory, so that a new log is found again.
func (w *wal) keepName() error {
	dir, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func (w *wal) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
