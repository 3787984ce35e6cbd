package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/store"
)

// settlePatience is how long a commit whose answer was lost waits for a server
// that can tell what became of it.
const settlePatience = 2 * time.Second

// settle finds out what became of a COMMIT whose answer was lost: it ends the
// backend that had it, waits for the end of its transaction, and looks for the
// commit's number. Nil: it took effect. store.ErrUnavailable: it did not, and
// never will. store.ErrUnknown: nobody could be asked; whoever repeats the
// commit waits for the locks of the one that may be under way.
func (s *Store) settle(old backend, mark, number int64, lost error) error {
	ctx, cancel := context.WithTimeout(context.Background(), settlePatience)
	defer cancel()
	for {
		found, err := s.lastNumber(ctx, old, mark)
		switch {
		case err == nil && found == number:
			return nil
		case err == nil:
			return fmt.Errorf("%w: the connection was lost before the commit: %w", store.ErrUnavailable, lost)
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", store.ErrUnknown, errors.Join(lost, err))
		}
		wait(ctx, 50*time.Millisecond)
	}
}

// lastNumber asks for it on a new connection.
func (s *Store) lastNumber(ctx context.Context, old backend, mark int64) (number int64, err error) {
	x, err := s.pool.open(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, x.close()) }()
	if err := x.query(sqlEndBackend, nil, old.pid, old.since); err != nil {
		return 0, err
	}
	err = x.query(sqlSettle, func(row []driver.Value) error {
		number = integer(row[0])
		return nil
	}, mark)
	return number, err
}

// wait blocks for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
