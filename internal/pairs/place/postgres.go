package place

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/lib/pq"
)

// patience is how long a server may take for what a place asks of it.
const patience = time.Minute

// schema makes a schema of the place's own. Few connections for each store:
// many tests share the server's.
func (pl *Place) schema(server string) {
	pl.t.Helper()
	if err := administer(server, "CREATE SCHEMA "+pq.QuoteIdentifier(pl.name)); err != nil {
		pl.t.Fatalf("make a schema: %v", err)
	}
	pl.t.Cleanup(func() {
		if err := administer(server, "DROP SCHEMA "+pq.QuoteIdentifier(pl.name)+" CASCADE"); err != nil {
			pl.t.Fatalf("drop a schema: %v", err)
		}
	})
	pl.Store = with(pl.t, server, "search_path", pl.name, "pool", "4", "caller_pool", "4")
}

// administer carries out a statement.
func administer(server, statement string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := sql.Open("postgres", server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, statement)
	return err
}
