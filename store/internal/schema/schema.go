// Package schema reads the numbered migrations of a database's schema, and says
// which of its versions a program can work with.
package schema

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/millrace-go/millrace/store"
)

// Migration is a step between two versions of a schema, as SQL.
type Migration struct {
	Name     string // 0001_init
	Up, Down string
}

// Migrations are all steps, the one to version 1 at 0.
type Migrations []Migration

// Load reads the folder migrations: files 0001_name.up.sql and
// 0001_name.down.sql, and so on without a gap. It panics where one is missing:
// the program is built wrongly.
func Load(files fs.FS) Migrations {
	ups, err := fs.Glob(files, "migrations/*.up.sql")
	if err != nil || len(ups) == 0 {
		panic(fmt.Sprint("schema: there are no migrations: ", err))
	}
	slices.Sort(ups)
	all := make(Migrations, len(ups))
	for i, up := range ups {
		path := strings.TrimSuffix(up, ".up.sql")
		name := strings.TrimPrefix(path, "migrations/")
		if !strings.HasPrefix(name, fmt.Sprintf("%04d_", i+1)) {
			panic("schema: migration " + name + " has not the number that follows")
		}
		all[i] = Migration{Name: name, Up: text(files, up), Down: text(files, path+".down.sql")}
	}
	return all
}

func text(files fs.FS, path string) string {
	b, err := fs.ReadFile(files, path)
	if err != nil {
		panic("schema: " + err.Error()) // an up without a down
	}
	return string(b)
}

// Newest is the version that this program works with.
func (m Migrations) Newest() int { return len(m) }

// Suits refuses a version that this program can't work with. exact refuses those
// too that it would have to migrate. The error wraps store.ErrSchema.
func (m Migrations) Suits(version int, exact bool) error {
	switch {
	case version > m.Newest():
		return fmt.Errorf("%w: it has version %d, this program knows up to %d; use a newer program",
			store.ErrSchema, version, m.Newest())
	case exact && version == 0:
		return fmt.Errorf("%w: it has none, this program needs version %d; run millrace migrate", store.ErrSchema, m.Newest())
	case exact && version < m.Newest():
		return fmt.Errorf("%w: it has version %d, this program needs version %d; run millrace migrate",
			store.ErrSchema, version, m.Newest())
	}
	return nil
}

// Walk calls step for each migration between two versions, upwards or downwards,
// with what it is called and its SQL.
func (m Migrations) Walk(from, to int, step func(what, sql string) error) error {
	for v := from; v < to; v++ {
		if err := step(m[v].Name+" upwards", m[v].Up); err != nil {
			return err
		}
	}
	for v := from; v > to; v-- {
		if err := step(m[v-1].Name+" downwards", m[v-1].Down); err != nil {
			return err
		}
	}
	return nil
}
