package postgres

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// L3: processes that open an empty database at once migrate it once.
func TestMigratedOnce(t *testing.T) {
	at := newSchema(t)
	var all sync.WaitGroup
	errs, names := make([]error, 8), make([]string, 8)
	for i := range errs {
		all.Go(func() {
			s, err := store.Open(context.Background(), at, store.Options{})
			if errs[i] = err; err == nil {
				names[i] = *s.(*Store).name.Load()
				errs[i] = s.Close()
			}
		})
	}
	all.Wait()
	for i := range errs {
		require.NoError(t, errs[i])
		require.Equal(t, names[0], names[i])
		require.NotEmpty(t, names[i])
	}
}

// L3
func TestDownAndUp(t *testing.T) {
	s := open(t, newSchema(t), store.Options{})
	for v := migrations.Newest() - 1; v >= 0; v-- {
		from, to, err := s.MigrateTo(t.Context(), v)
		require.NoError(t, err)
		require.Equal(t, []int{v + 1, v}, []int{from, to})
	}
	_, err := s.Find(t.Context(), store.Query{Workers: &store.WorkerQuery{}})
	require.ErrorIs(t, err, store.ErrSchema)
	from, to, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{0, migrations.Newest()}, []int{from, to})
	_, err = s.Beat(t.Context(), store.Beat{Lease: 1e9})
	require.NoError(t, err)
}

// L3: what does not fit is refused, and left as it is.
func TestSchemaIsChecked(t *testing.T) {
	at := newSchema(t)
	_, err := store.Open(t.Context(), at, store.Options{NoMigrate: true})
	require.ErrorIs(t, err, store.ErrSchema)
	require.ErrorContains(t, err, "run millrace migrate")

	later := open(t, at, store.Options{MigrateLater: true})
	_, err = later.Beat(t.Context(), store.Beat{Lease: 1e9})
	require.ErrorIs(t, err, store.ErrSchema)
	_, to, err := store.Migrate(t.Context(), at, store.Options{})
	require.NoError(t, err)
	require.Equal(t, migrations.Newest(), to)
	open(t, at, store.Options{NoMigrate: true})

	_, err = later.DB().Exec("UPDATE millrace_meta SET value = '999' WHERE name = 'schema'")
	require.NoError(t, err)
	_, err = store.Open(t.Context(), at, store.Options{})
	require.ErrorIs(t, err, store.ErrSchema)
	require.ErrorContains(t, err, "newer program")
}
