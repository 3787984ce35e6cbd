package main

import (
	"context"
	"database/sql"
	_ "embed" // for the statements
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// Index is the searchable index, an SQLite database of the program's own. It
// is safe for concurrent use, also by several processes.
//
// It is not part of millrace's store, so that the program runs on any store.
// Then a step and what it wrote are not one commit: a process that dies in
// between leaves rows of a message that is run again. So all writes here may
// be repeated. Where both are in one SQL database, saga.HandleTx makes the
// writes part of the step's commit, and they happen once.
type Index struct{ db *sql.DB }

// OpenIndex opens the file, and makes it if it is missing.
func OpenIndex(ctx context.Context, file string) (*Index, error) {
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(file), RawQuery: "_txlock=immediate&_pragma=busy_timeout(30000)" +
		"&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=foreign_keys(1)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open index %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; so nobody here waits for a lock
	if _, err := db.ExecContext(ctx, sqlSchema); err != nil {
		return nil, errors.Join(fmt.Errorf("open index %s: %w", file, err), db.Close())
	}
	return &Index{db}, nil
}

// Close releases the file.
func (x *Index) Close() error { return x.db.Close() }

var (
	//go:embed sql/schema.sql
	sqlSchema string
	//go:embed sql/put_folder.sql
	sqlPutFolder string
	//go:embed sql/run_of.sql
	sqlRunOf string
	//go:embed sql/forget.sql
	sqlForget string
	//go:embed sql/set_packages.sql
	sqlSetPackages string
	//go:embed sql/drop_package.sql
	sqlDropPackage string
	//go:embed sql/put_package.sql
	sqlPutPackage string
	//go:embed sql/put_names.sql
	sqlPutNames string
	//go:embed sql/put_uses.sql
	sqlPutUses string
	//go:embed sql/totals.sql
	sqlTotals string
	//go:embed sql/count_names.sql
	sqlCountNames string
	//go:embed sql/most_used.sql
	sqlMostUsed string
	//go:embed sql/search.sql
	sqlSearch string
)

// Assign returns the id of the run that indexes a folder: the one that it was
// given first.
func (x *Index) Assign(ctx context.Context, folder, run string) (string, error) {
	if _, err := x.db.ExecContext(ctx, sqlPutFolder, folder, run); err != nil {
		return "", fmt.Errorf("index: %w", err)
	}
	return x.RunOf(ctx, folder)
}

// RunOf returns the id of the run that indexes a folder, "" if there is none.
func (x *Index) RunOf(ctx context.Context, folder string) (run string, err error) {
	err = x.db.QueryRowContext(ctx, sqlRunOf, folder).Scan(&run)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("index: %w", err)
	}
	return run, nil
}

// Forget drops a folder from the index.
func (x *Index) Forget(ctx context.Context, folder string) error {
	if _, err := x.db.ExecContext(ctx, sqlForget, folder); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// Expect notes how many packages a run is to index.
func (x *Index) Expect(ctx context.Context, run string, packages int) error {
	if _, err := x.db.ExecContext(ctx, sqlSetPackages, run, packages); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}

// Put writes a package, in place of what an earlier attempt wrote of it.
func (x *Index) Put(ctx context.Context, run string, p *Package) error {
	tx, err := x.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("index %s: %w", p.Dir, err)
	}
	defer tx.Rollback()
	if err := put(ctx, tx, run, p); err != nil {
		return fmt.Errorf("index %s: %w", p.Dir, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("index %s: %w", p.Dir, err)
	}
	return nil
}

func put(ctx context.Context, tx *sql.Tx, run string, p *Package) error {
	if _, err := tx.ExecContext(ctx, sqlDropPackage, run, p.Dir); err != nil {
		return err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, sqlPutPackage, run, p.Dir, p.Files, p.Lines, p.Broken).Scan(&id); err != nil {
		return err
	}
	names := make([][]any, len(p.Names))
	for i, n := range p.Names {
		names[i] = []any{n.Name, n.Receiver, n.Kind, n.File, n.Line}
	}
	if err := putJSON(ctx, tx, sqlPutNames, id, names); err != nil {
		return err
	}
	return putJSON(ctx, tx, sqlPutUses, id, p.Uses)
}

func putJSON(ctx context.Context, tx *sql.Tx, statement string, id int64, v any) error {
	data, err := json.Marshal(v)
	if err == nil {
		_, err = tx.ExecContext(ctx, statement, id, string(data))
	}
	return err
}

// Totals sums up what is indexed of a run so far, and says how many packages
// there will be, 0 when that is not known yet.
func (x *Index) Totals(ctx context.Context, run string) (t Totals, expected int, err error) {
	err = x.db.QueryRowContext(ctx, sqlTotals, run).Scan(&t.Packages, &t.Files, &t.Lines, &t.Broken, &expected)
	if err != nil {
		return t, 0, fmt.Errorf("index: %w", err)
	}
	return t, expected, nil
}

// Report sums up what is indexed of a run, with the top names.
func (x *Index) Report(ctx context.Context, run string, top int) (*Report, error) {
	r := &Report{}
	var err error
	if r.Totals, _, err = x.Totals(ctx, run); err != nil {
		return nil, err
	}
	if err := x.db.QueryRowContext(ctx, sqlCountNames, run).Scan(&r.Names); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	r.Top, err = query(ctx, x.db, sqlMostUsed, func(rows *sql.Rows, u *Use) error {
		return rows.Scan(&u.Name, &u.Times)
	}, run, top)
	return r, err
}

// Search returns where an exported name is declared.
func (x *Index) Search(ctx context.Context, run, name, receiver string) ([]Found, error) {
	return query(ctx, x.db, sqlSearch, func(rows *sql.Rows, f *Found) error {
		return rows.Scan(&f.Dir, &f.Name.Name, &f.Receiver, &f.Kind, &f.File, &f.Line)
	}, run, name, receiver)
}

// Found is a declaration that was searched for.
type Found struct {
	Dir string
	Name
}

func query[T any](ctx context.Context, db *sql.DB, statement string, scan func(*sql.Rows, *T) error, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var one T
		if err := scan(rows, &one); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	return all, nil
}
