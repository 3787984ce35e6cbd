package sqlite

import (
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// block is how many numbers a process reserves beyond those that it needs, so
// that not every commit has to write the counter. What is left of a block when
// a process ends, or when another process has drawn numbers meanwhile, is
// never used; so numbers grow in the order of commits.
const block = 1024

// numbers are the free numbers of this process: from next up to, not with,
// end. The counter in the file stands at end; where it does not, somebody else
// has drawn numbers, and what is left here is void.
type numbers struct {
	next, end int64
}

// synced returns the numbers that are free when the counter in the file
// stands at counter.
func (n numbers) synced(counter int64) numbers {
	if n.end == counter {
		return n
	}
	return numbers{next: counter, end: counter}
}

// take returns what is left behind the next count numbers. If these are not
// all reserved, it moves the counter in the file, with extra numbers to spare.
func (n numbers) take(x executor, count, extra int64) (numbers, error) {
	n.next += count
	if n.next <= n.end {
		return n, nil
	}
	n.end = n.next + extra
	_, err := x.exec(sqlReserve, n.end)
	return n, err
}

// fence reads the file's counter, and whether worker is alive.
func fence(x executor, worker int64) (counter int64, alive bool, err error) {
	err = x.query(sqlFence, func(row []driver.Value) error {
		counter = integer(row[0])
		alive = row[1] != nil
		return nil
	}, worker)
	if err == nil && counter == 0 {
		err = store.ErrSchema // the counter's row is gone
	}
	return counter, alive, err
}
