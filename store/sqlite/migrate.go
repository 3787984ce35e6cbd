package sqlite

import (
	"context"
	"database/sql/driver"
	"embed"
	"fmt"

	"github.com/millrace-go/millrace/store/internal/schema"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

var migrations = schema.Load(migrationFiles)

// Migrate implements [store.Migrator]. Processes that migrate at once take
// turns; one does the work. It is one transaction: all of it takes effect or
// nothing. Opening does the same unless NoMigrate is set.
//
// Errors: store.ErrSchema for a newer database, and those of [Store.Commit].
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	return s.MigrateTo(ctx, migrations.Newest())
}

// MigrateTo brings the schema to a version, upwards or downwards; 0 removes
// all that millrace keeps in the file. Below the newest version the Store can
// do nothing but migrate. It returns the versions before and after. Errors: as
// of [Store.Migrate].
func (s *Store) MigrateTo(ctx context.Context, version int) (from, to int, err error) {
	leave, err := s.enter(ctx, "migrate")
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	return s.migrate(ctx, version)
}

func (s *Store) migrate(ctx context.Context, target int) (from, to int, err error) {
	if target < 0 || target > migrations.Newest() {
		return 0, 0, fmt.Errorf("sqlite: migrate: there is no version %d; the newest is %d", target, migrations.Newest())
	}
	err = s.writer.do(ctx, "migrate", func(x *session) (bool, error) {
		if from, err = versionOf(x); err != nil {
			return false, err
		}
		if err := migrations.Suits(from, false); err != nil {
			return false, err
		}
		return from != target, walk(x, from, target)
	}, func(error) { s.free, s.cache = numbers{}, cache{} })
	if err != nil {
		return from, from, err
	}
	return from, target, nil
}

// walk applies the migrations between two versions, and notes the last.
func walk(x *session, from, to int) error {
	err := migrations.Walk(from, to, func(what, sql string) error {
		if err := x.script(sql); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
	if err != nil || from == to || to == 0 {
		return err
	}
	_, err = x.exec(sqlSetVersion, int64(to))
	return err
}

// versionNow reads the version outside a transaction, when others may be at
// work on the file.
func (s *Store) versionNow(ctx context.Context, x *session) (version int, err error) {
	err = s.writer.insist(ctx, func() error {
		version, err = versionOf(x)
		return err
	})
	return version, err
}

// versionOf reads the version of the schema, 0 when there is none.
func versionOf(x executor) (version int, err error) {
	note := func(row []driver.Value) error {
		version = int(integer(row[0]))
		return nil
	}
	if err := x.query(sqlHasMeta, note); err != nil || version == 0 {
		return 0, err
	}
	version = 0
	return version, x.query(sqlVersion, note)
}
