package sqlite

import (
	"bufio"
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// The test binary runs itself as other processes; what they do is named here.
const (
	envRole = "MILLRACE_SQLITE_ROLE"
	envFile = "MILLRACE_SQLITE_FILE"
)

var roles = map[string]func(path string) error{
	"commit":  commitFifty,
	"forever": commitForever,
	"open":    openOnce,
}

func TestMain(m *testing.M) {
	role := roles[os.Getenv(envRole)]
	if role == nil {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(envFile)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// process prepares a process of its own that plays a role on a file.
func process(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envRole+"="+role, envFile+"="+path)
	return cmd
}

// atOnce runs n processes at the same time, and waits for them.
func atOnce(t *testing.T, n int, role, path string) {
	t.Helper()
	all := make([]*exec.Cmd, n)
	outputs := make([]strings.Builder, n)
	for i := range all {
		all[i] = process(t, role, path)
		all[i].Stdout, all[i].Stderr = &outputs[i], &outputs[i]
		require.NoError(t, all[i].Start())
	}
	for i := range all {
		require.NoError(t, all[i].Wait(), "%s", &outputs[i])
	}
}

var total = store.RowKey{Kind: store.Counter, Name: "total"}

// addOne adds a run with a message, and counts both in one row: whoever reads
// the file finds the three in step.
func addOne(s *Store) error {
	keys := store.Keys{Rows: []store.RowKey{total}}
	return s.Commit(context.Background(), keys, func(snap *store.Snapshot) *store.Changes {
		n := 0
		if row := snap.Rows[total]; row != nil {
			n, _ = strconv.Atoi(string(row.Body))
		}
		first := snap.NextSeq
		return &store.Changes{
			Seqs:        2,
			PutRuns:     []*store.Run{{Key: first, ID: store.Num(first), Status: store.Running}},
			PutMessages: []*store.Message{{Seq: first + 1, Topic: "t", Run: first}},
			PutRows:     []*store.Row{{RowKey: total, Body: []byte(strconv.Itoa(n + 1))}},
		}
	})
}

func commitFifty(path string) error {
	s, err := Open(context.Background(), path, Config{})
	if err != nil {
		return err
	}
	for range 50 {
		if err := addOne(s); err != nil {
			return err
		}
	}
	return s.Close()
}

// commitForever writes a line for each commit that was answered.
func commitForever(path string) error {
	s, err := Open(context.Background(), path, Config{CheckpointPages: 20})
	if err != nil {
		return err
	}
	for {
		if err := addOne(s); err != nil {
			return err
		}
		fmt.Println("done")
	}
}

func openOnce(path string) error {
	s, err := Open(context.Background(), path, Config{})
	if err != nil {
		return err
	}
	return s.Close()
}

// sound checks the file, and that what was committed together is there
// together. It returns how many commits took effect.
func sound(t *testing.T, s *Store) (commits int) {
	t.Helper()
	first := func(into *int) func([]driver.Value) error {
		return func(row []driver.Value) error {
			*into = int(integer(row[0]))
			return nil
		}
	}
	var check string
	require.NoError(t, s.DB().QueryRow("PRAGMA integrity_check").Scan(&check))
	require.Equal(t, "ok", check)
	var messages, runs, counted int
	count := &statement{text: "SELECT count(*) FROM millrace_messages"}
	require.NoError(t, s.read(t.Context(), count, first(&messages)))
	count.text = "SELECT count(*) FROM millrace_runs"
	require.NoError(t, s.read(t.Context(), count, first(&runs)))
	require.NoError(t, s.read(t.Context(), sqlRow, func(row []driver.Value) (err error) {
		counted, err = strconv.Atoi(string(blob(row[1])))
		return err
	}, int64(total.Kind), total.Owner, total.Name))
	require.Equal(t, counted, messages)
	require.Equal(t, counted, runs)
	return counted
}

// Numbers are given once, whichever process asks: a second use would break
// the primary key.
func TestProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	s := open(t, path, Config{})
	done := make(chan error)
	go func() {
		for range 50 {
			if err := addOne(s); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	atOnce(t, 3, "commit", path)
	require.NoError(t, <-done)
	require.Equal(t, 200, sound(t, s))
}

func TestStoresInOneProcessShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shared.db")
	done := make(chan error)
	for range 3 {
		go func() { done <- commitFifty(path) }()
	}
	for range 3 {
		require.NoError(t, <-done)
	}
	require.Equal(t, 150, sound(t, open(t, path, Config{})))
}

// L3
func TestProcessesMigrateAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	atOnce(t, 6, "open", path)
	s := open(t, path, Config{Options: store.Options{NoMigrate: true}})
	from, to, err := s.Migrate(t.Context())
	require.NoError(t, err)
	require.Equal(t, []int{migrations.Newest(), migrations.Newest()}, []int{from, to})
}

// What was answered survives kill -9, and nothing is there by half.
func TestKilledProcessLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "killed.db")
	for round := range 3 {
		answered := killAfter(t, path, 20+15*round)
		s := open(t, path, Config{})
		require.GreaterOrEqual(t, sound(t, s), answered)
		require.NoError(t, addOne(s))
		_, err := s.DB().Exec("DELETE FROM millrace_rows")
		require.NoError(t, err)
		_, err = s.DB().Exec("DELETE FROM millrace_runs")
		require.NoError(t, err)
		_, err = s.DB().Exec("DELETE FROM millrace_messages")
		require.NoError(t, err)
	}
}

// killAfter kills a process that commits once it has told of n commits, and
// returns of how many it has told.
func killAfter(t *testing.T, path string, n int) (answered int) {
	t.Helper()
	cmd := process(t, "forever", path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	for {
		_, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if answered++; answered == n {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	require.Error(t, cmd.Wait(), "it was killed")
	return answered
}
