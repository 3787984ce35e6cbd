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
// the commit is made, and may be undone by a loss of power. A log that can't be
// opened may be opened later; a flush that failed fails all later ones, since a
// system may forget what it could not write.
func (w *wal) await(n int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.durable < n {
		switch {
		case w.err != nil:
			return fmt.Errorf("%w: flush %s, restart this process to go on: %w", store.ErrUnknown, w.path, w.err)
		case w.flushing:
			w.changed.Wait()
		default:
			if err := w.flushNow(); err != nil {
				return fmt.Errorf("%w: flush %s: %w", store.ErrUnknown, w.path, err)
			}
		}
	}
	return nil
}

// flushNow flushes what is appended so far, with the lock released meanwhile.
func (w *wal) flushNow() error {
	upTo := w.written
	w.flushing = true
	w.mu.Unlock()
	there, err := w.open()
	var failed error
	if there && err == nil {
		failed = fdatasync(w.file)
	}
	w.mu.Lock()
	w.flushing = false
	w.changed.Broadcast()
	if err == nil && failed == nil {
		w.durable = upTo
	}
	w.err = failed
	return errors.Join(err, failed)
}

// open makes file the log that SQLite writes to now: it makes a new one when
// all connections were closed. If there is none, SQLite has brought all of it
// into the database, and flushed that.
func (w *wal) open() (there bool, err error) {
	now, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if w.file != nil {
		if have, err := w.file.Stat(); err == nil && os.SameFile(have, now) {
			return true, nil
		}
		_ = w.file.Close() // nothing was written through it
		w.file = nil
	}
	f, err := os.OpenFile(w.path, os.O_RDWR, 0)
	if err != nil {
		return true, err
	}
	if err := w.keepName(); err != nil {
		return true, errors.Join(err, f.Close())
	}
	w.file = f
	return true, nil
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
