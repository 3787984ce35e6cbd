package schema

import (
	"errors"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

func files(names ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, name := range names {
		all["migrations/"+name] = &fstest.MapFile{Data: []byte("text of " + name)}
	}
	return all
}

func two() Migrations {
	return Load(files("0002_b.up.sql", "0001_a.up.sql", "0001_a.down.sql", "0002_b.down.sql", "README"))
}

func TestWalk(t *testing.T) {
	errStep := errors.New("step")
	for _, c := range []struct {
		from, to int
		want     []string
	}{
		{0, 2, []string{"0001_a upwards: text of 0001_a.up.sql", "0002_b upwards: text of 0002_b.up.sql"}},
		{2, 1, []string{"0002_b downwards: text of 0002_b.down.sql"}},
		{1, 1, nil},
	} {
		var got []string
		require.NoError(t, two().Walk(c.from, c.to, func(what, sql string) error {
			got = append(got, what+": "+sql)
			return nil
		}))
		require.Equal(t, c.want, got)
		if c.want != nil {
			require.ErrorIs(t, two().Walk(c.from, c.to, func(string, string) error { return errStep }), errStep)
		}
	}
}

func TestSuits(t *testing.T) {
	m := two()
	require.Equal(t, 2, m.Newest())
	for version := range 4 {
		require.Equal(t, version == 2, m.Suits(version, true) == nil)
		require.Equal(t, version <= 2, m.Suits(version, false) == nil)
	}
	require.ErrorIs(t, m.Suits(3, false), store.ErrSchema)
	require.ErrorContains(t, m.Suits(0, true), "it has none")
	require.ErrorContains(t, m.Suits(1, true), "run millrace migrate")
}

func TestLoadRefuses(t *testing.T) {
	for name, fs := range map[string]fstest.MapFS{
		"nothing":      files(),
		"a gap":        files("0001_a.up.sql", "0001_a.down.sql", "0003_c.up.sql", "0003_c.down.sql"),
		"no way back":  files("0001_a.up.sql"),
		"twice a name": files("0001_a.up.sql", "0001_a.down.sql", "0001_b.up.sql", "0001_b.down.sql"),
	} {
		require.Panics(t, func() { Load(fs) }, name)
	}
}
