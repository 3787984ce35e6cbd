package sqlite

import (
	"context"
	"database/sql/driver"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace-go/millrace/store"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is a step between two versions of the schema.
type migration struct {
	name     string // 0001_init
	up, down string
}

// migrations by version, the first at 0.
var migrations = loadMigrations()

func loadMigrations() []migration {
	entries, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		panic(err) // the folder is missing from the program
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".up.sql"); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	all := make([]migration, len(names))
	for i, name := range names {
		if !strings.HasPrefix(name, fmt.Sprintf("%04d_", i+1)) {
			panic("sqlite: migration " + name + " has not the number that follows")
		}
		all[i] = migration{name: name, up: migrationText(name + ".up.sql"), down: migrationText(name + ".down.sql")}
	}
	return all
}

func migrationText(file string) string {
	text, err := migrationFiles.ReadFile("migrations/" + file)
	if err != nil {
		panic(err) // an up without a down
	}
	return string(text)
}

// newest is the version of the schema that this program works with.
func newest() int { return len(migrations) }

// Migrate implements [store.Migrator]. Processes that migrate at once take
// turns; one does the work. It is one transaction: all of it takes effect or
// nothing. Opening does the same unless NoMigrate is set.
//
// Errors: store.ErrSchema for a newer database, and those of [Store.Commit].
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	return s.MigrateTo(ctx, newest())
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
	if target < 0 || target > newest() {
		return 0, 0, fmt.Errorf("sqlite: migrate: there is no version %d; the newest is %d", target, newest())
	}
	err = s.writer.do(ctx, "migrate", func(x *session) (bool, error) {
		if from, err = versionOf(x); err != nil {
			return false, err
		}
		if err := suits(from, false); err != nil {
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
	for v := from; v < to; v++ {
		if err := x.script(migrations[v].up); err != nil {
			return fmt.Errorf("%s upwards: %w", migrations[v].name, err)
		}
	}
	for v := from; v > to; v-- {
		if err := x.script(migrations[v-1].down); err != nil {
			return fmt.Errorf("%s downwards: %w", migrations[v-1].name, err)
		}
	}
	if from == to || to == 0 {
		return nil
	}
	_, err := x.exec(sqlSetVersion, int64(to))
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

// suits refuses a schema that this program can't work with. exact refuses
// those too that it would have to migrate.
func suits(version int, exact bool) error {
	switch {
	case version > newest():
		return fmt.Errorf("%w: it has version %d, this program knows up to %d; use a newer program",
			store.ErrSchema, version, newest())
	case exact && version == 0:
		return fmt.Errorf("%w: it has none, this program needs version %d; run millrace migrate", store.ErrSchema, newest())
	case exact && version < newest():
		return fmt.Errorf("%w: it has version %d, this program needs version %d; run millrace migrate",
			store.ErrSchema, version, newest())
	}
	return nil
}
