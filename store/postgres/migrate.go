package postgres

import (
	"context"
	"database/sql/driver"
	"embed"
	"fmt"
	"slices"
	"strconv"
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
			panic("postgres: migration " + name + " has not the number that follows")
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
// turns, by an advisory lock; one does the work. It is one transaction: all of
// it takes effect or nothing. Opening does the same unless NoMigrate is set.
//
// Errors: store.ErrSchema for a newer database, store.ErrUnavailable,
// store.ErrClosed and the context's.
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	return s.MigrateTo(ctx, newest())
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
	if version < 0 || version > newest() {
		return 0, 0, fmt.Errorf("postgres: migrate: there is no version %d; the newest is %d", version, newest())
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
	if target == newest() {
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
	if err := suits(from, false); err != nil {
		return from, err
	}
	return from, walk(x, from, target)
}

// walk applies the migrations between two versions, and notes the last.
func walk(x *session, from, to int) error {
	for v := from; v < to; v++ {
		if err := x.script(migrations[v].name+" upwards", migrations[v].up); err != nil {
			return err
		}
	}
	for v := from; v > to; v-- {
		if err := x.script(migrations[v-1].name+" downwards", migrations[v-1].down); err != nil {
			return err
		}
	}
	if from == to || to == 0 {
		return nil
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
