package store

import (
	"context"
	"errors"
)

// Migrate brings the schema of the store that rawURL names to the newest
// version that this program knows, and returns the versions before and after;
// a store without a schema has 0 and 0. Many processes may do so at once.
// ErrSchema for a newer database.
func Migrate(ctx context.Context, rawURL string, o Options) (from, to int, err error) {
	o.NoMigrate, o.MigrateLater = false, true
	s, err := Open(ctx, rawURL, o)
	if err != nil {
		return 0, 0, err
	}
	if m, ok := s.(Migrator); ok {
		from, to, err = m.Migrate(ctx)
	}
	return from, to, errors.Join(err, s.Close())
}
