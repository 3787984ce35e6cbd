package faults

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The file system of an SQLite store is full, or lets its files not grow. Work
// pauses, and goes on when there is room.
//
// M9, R5
//
//semantics:stores sqlite
func TestDiskFull(t *testing.T) {
	t.Run("files may not grow", func(t *testing.T) {
		var old syscall.Rlimit
		require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
		t.Cleanup(func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) })
		diskFull(t, t.TempDir(), func(string) (again func()) {
			less := syscall.Rlimit{Cur: 64 << 10, Max: old.Max}
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &less))
			return func() { require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)) }
		})
	})
	if os.Getuid() != 0 {
		return // the other needs a file system of its own
	}
	t.Run("a small file system", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
			t.Logf("no file system may be mounted here: %v", err)
			return
		}
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
		diskFull(t, dir, fill)
	})
}

// fill writes until there is no room, and undoes that.
func fill(dir string) (again func()) {
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	_ = f.Close()
	return func() { _ = os.Remove(ballast) }
}

// diskFull works while there is no room for a while.
func diskFull(t *testing.T, dir string, full func(dir string) (again func())) {
	s := place{}.site(t, pair{"sqlite", ""})
	s.store.Path = filepath.Join(dir, "full.db")
	l := s.open(t, 2, nil).run().feed()
	l.progress(5)
	again := full(dir)
	t.Cleanup(again)
	require.Eventually(t, func() bool { return l.said.count(0, "does not answer") > 0 }, patience, 5*time.Millisecond)
	<-time.After(spell)
	again()
	l.progress(5)
	l.finish()
}
