package faults

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
)

// rival opens another application's connections to the load's database.
func (l *load) rival(max int) *sql.DB {
	l.Helper()
	db, err := sql.Open("postgres", l.store.String())
	require.NoError(l, err)
	db.SetMaxOpenConns(max)
	l.Cleanup(func() { db.Close() })
	return db
}

// Another application takes all connections of the server, and the processes
// lose theirs.
//
// M9, R5
//
//semantics:stores postgres
func TestPostgresOutOfConnections(t *testing.T) {
	t.Parallel()
	server := servers.StartPostgres(t, "max_connections = 24", "superuser_reserved_connections = 0")
	l := shared(t).with("postgres", server.URL()).site(t, pair{"postgres", ""}).open(t, 2, nil).run().feed()
	l.progress(5)
	u := *l.store
	l.set(&u, "application_name", "hog")
	hog, err := sql.Open("postgres", u.String())
	require.NoError(t, err)
	t.Cleanup(func() { hog.Close() })
	var taken []*sql.Conn
	for full, late := 0, time.Now().Add(patience); full < 5; {
		require.True(t, time.Now().Before(late), "the server is not full: %d connections", len(taken))
		c, err := hog.Conn(context.Background())
		if err == nil {
			taken = append(taken, c)
			continue
		}
		var e *pq.Error
		require.ErrorAs(t, err, &e)
		require.EqualValues(t, "53300", e.Code, "too many connections")
		full++
		_, err = taken[0].ExecContext(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND application_name <> 'hog'`)
		require.NoError(t, err)
	}
	t.Logf("%d connections were taken", len(taken))
	<-time.After(spell)
	for _, c := range taken {
		require.NoError(t, c.Close())
	}
	require.NoError(t, hog.Close())
	l.progress(5)
	l.finish()
}

// All transactions are serializable, so that the server refuses many of them.
//
// M9, R5
//
//semantics:stores postgres
func TestPostgresSerializationFailures(t *testing.T) {
	t.Parallel()
	s := shared(t).site(t, pair{"postgres", ""})
	s.database(t, "ALTER DATABASE "+s.tag+" SET default_transaction_isolation = 'serializable'")
	l := s.open(t, 3, nil).run().feed()
	l.progress(40)
	l.finish()
	var undone int
	require.NoError(t, l.rival(1).QueryRow("SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()").Scan(&undone))
	t.Logf("%d transactions were rolled back", undone)
}

// Another application locks the same rows in the other order, and the server
// breaks the deadlocks at the expense of the store.
//
// M9, R5
//
//semantics:stores postgres
func TestPostgresDeadlocks(t *testing.T) {
	t.Parallel()
	// Long enough for the rival to have reached what the store holds: who waits
	// looks for a deadlock once, and is the one that is undone.
	server := servers.StartPostgres(t, "deadlock_timeout = 200ms")
	l := shared(t).with("postgres", server.URL()).site(t, pair{"postgres", ""}).open(t, 2, nil).run()
	l.feedMany(24) // so that commits touch more than one ledger
	l.progress(5)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db := l.rival(3)
	var all sync.WaitGroup
	stop := make(chan struct{})
	var undone atomic.Int64
	for range 2 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch err := l.lockBackwards(ctx, db); {
				case errors.Is(err, errUndone):
					undone.Add(1)
				case err != nil && ctx.Err() == nil:
					t.Errorf("rival: %v", err)
					return
				}
			}
		})
	}
	var deadlocks, ofStore int
	for ofStore < 3 && ctx.Err() == nil && !t.Failed() {
		<-time.After(50 * time.Millisecond)
		require.NoError(t, db.QueryRowContext(ctx, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks))
		ofStore = deadlocks - int(undone.Load())
	}
	close(stop)
	all.Wait()
	t.Logf("%d deadlocks, %d at the expense of the store", deadlocks, ofStore)
	require.GreaterOrEqual(t, ofStore, 3)
	l.progress(5)
	l.finish()
}

var errUndone = errors.New("the server chose this one")

// lockBackwards locks the rows of the ledgers, the last one first. It returns
// errUndone when a deadlock was broken at its expense.
func (l *load) lockBackwards(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "SET LOCAL deadlock_timeout = '2s'"); err != nil {
		return err
	}
	for i := ledgers - 1; i >= 0; i-- {
		_, err := tx.ExecContext(ctx, "SELECT key, pg_sleep(0.01) FROM millrace_runs WHERE id = $1 FOR UPDATE", fmt.Sprintf("%s/ledger/ledger-%d", l.tag, i))
		var e *pq.Error
		if errors.As(err, &e) && e.Code == "40P01" {
			return errUndone
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}
