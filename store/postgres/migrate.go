package postgres

import (
	"context"
	"database/sql/driver"
	"embed"
	"fmt"
	"strconv"

	"github.com/millrace-go/millrace/store/internal/schema"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

var migrations = schema.Load(migrationFiles)

// Migrate implements [store.Migrator]. Processes that migrate at once take
// turns, by an advisory lock; one does the work. It is one transaction: all of
// it takes effect or nothing. Opening does the same unless NoMigrate is set.
//
// Errors: store.ErrSchema for a newer database, store.ErrUnavailable,
// store.ErrClosed and the context's.
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	return s.MigrateTo(ctx, migrations.Newest())
}

// MigrateTo brings the schema to a version, upwards or downwards; 0 removes
// all that millrace keeps in it. Below the newest version the Store can do
// nothing but migrate. It returns the versions before and after. Errors: as
// of [Store.Migrate].
func (s *Store) MigrateTo(ctx context.Context, version int) (from, to int, err error) {
	leave, err := s.enter(ctx, "migrate")
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	if version < 0 || version > migrations.Newest() {
		return 0, 0, fmt.Errorf("postgres: migrate: there is no version %d; the newest is %d", version, migrations.Newest())
	}
	from, to, err = s.migrate(ctx, version)
	return from, to, explain("migrate", err)
}

func (s *Store) migrate(ctx context.Context, target int) (from, to int, err error) {
	x, err := s.pool.take(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer s.pool.give(x)
	if err := x.exec(sqlBegin); err != nil {
		return 0, 0, err
	}
	from, err = walkLocked(x, target)
	if err == nil {
		err = x.exec(sqlCommit)
	} else if undone := x.exec(sqlRollback); undone != nil {
		x.broken = true
	}
	if err != nil {
		return from, from, err
	}
	// Plans and types of what was there before are void.
	x.broken = x.broken || from != target
	if target == migrations.Newest() {
		err = s.learnName(x)
	}
	return from, target, err
}

func walkLocked(x *session, target int) (from int, err error) {
	if err := x.query(sqlSchemaLock, nil); err != nil {
		return 0, err
	}
	if from, err = versionOf(x); err != nil {
		return 0, err
	}
	if err := migrations.Suits(from, false); err != nil {
		return from, err
	}
	return from, walk(x, from, target)
}

// walk applies the migrations between two versions, and notes the last.
func walk(x *session, from, to int) error {
	if err := migrations.Walk(from, to, x.script); err != nil || from == to || to == 0 {
		return err
	}
	return x.query(sqlSetVersion, nil, strconv.Itoa(to))
}

// versionOf reads the version of the schema, 0 when there is none.
func versionOf(x executor) (version int, err error) {
	err = x.query(sqlHasMeta, func(row []driver.Value) error {
		version = int(integer(row[0]))
		return nil
	})
	if err != nil || version == 0 {
		return 0, err
	}
	version = 0
	err = x.query(sqlVersion, func(row []driver.Value) (err error) {
		version, err = strconv.Atoi(text(row[0]))
		return err
	})
	return version, err
}
