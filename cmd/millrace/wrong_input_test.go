//semantics:stores sqlite

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/sqlite"
)

// everyCommand is a command line for each command that opens a store.
var everyCommand = [][]string{
	{"migrate"}, {"doctor"}, {"runs", "list"}, {"runs", "show", "x"}, {"runs", "cancel", "x", "--reason=x"},
	{"dead", "list"}, {"dead", "show", "1"}, {"dead", "requeue", "1"}, {"dead", "requeue", "--all"},
	{"dead", "discard", "1", "--reason=x"},
}

// L1: one line that says what and where, and nothing is made.
func TestBadStoreURL(t *testing.T) {
	t.Chdir(t.TempDir())
	for url, says := range map[string]string{
		"shop.db":                     `store URL "shop.db" has no scheme`,
		"mysql://host/db":             `unknown scheme "mysql"; linked: memory, postgres, postgresql, redis, rediss, sqlite`,
		"sqlite:shop.db?speed=9":      `unknown setting "speed"`,
		"sqlite:none/shop.db":         "does not exist",
		"sqlite://me:secret@host/%zz": `store URL "sqlite:..." is malformed`,
		"sqlite:.":                    "is a directory",
	} {
		for _, args := range everyCommand {
			line := failed(t, millrace(t, append(args, "--store", url)...))
			require.Contains(t, line, says, args)
			require.NotContains(t, line, "secret")
		}
	}
	left, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, left)
}

// L1
func TestBadConfig(t *testing.T) {
	s := busyShop(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "millrace.yaml")
	with := func(text string) string {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return failed(t, millrace(t, "runs", "list", "--config", file))
	}
	require.Contains(t, with("stoer: 'memory:'\n"), "config "+file+": unknown key stoer; known are concurrency, drain,")
	require.Contains(t, with("lease: 30\n"), "config "+file+": lease: 30 is no duration")
	require.Contains(t, with("drain: -1s\n"), "drain is -1s; it must not be negative")
	require.Contains(t, with("store: [\n"), "config "+file+": ")
	require.Contains(t, failed(t, millrace(t, "runs", "list", "--config", filepath.Join(dir, "none.yaml"))), "none.yaml")

	t.Setenv("MILLRACE_STOER", "memory:")
	require.Contains(t, s.fails(t, "runs", "list"), "environment: unknown key MILLRACE_STOER; known are MILLRACE_CONCURRENCY,")
}

// L1: the flag comes before the environment, and that before the file.
func TestWhereTheStoreIsSaid(t *testing.T) {
	t.Chdir(t.TempDir())
	one, two, three := newShop(t), newShop(t), newShop(t)
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	require.NoError(t, os.WriteFile(file, []byte("store: "+three.url+"\ntransport: amqp://nobody\n"), 0o600))
	at := func(args ...string) string { return of[migrated](t, one.docs(t, append(args, "migrate")...)).Store }
	require.Equal(t, three.url, at("--config", file))
	t.Setenv("MILLRACE_STORE", two.url)
	require.Equal(t, two.url, at("--config", file))
	require.Equal(t, one.url, at("--config", file, "--store", one.url))
	t.Setenv("MILLRACE_STORE", "")
	require.Equal(t, defaultStore, at())
	require.FileExists(t, "millrace.db")
}

// docs runs a command with --json, and no store named.
func (*shop) docs(t *testing.T, args ...string) string {
	t.Helper()
	got := millrace(t, append(args, "--json")...)
	require.Zero(t, got.code, got.err)
	return got.out
}

// L3, L1: explicit; no other command changes the schema.
func TestMigrate(t *testing.T) {
	s := newShop(t)
	for _, args := range everyCommand[1:] {
		require.Contains(t, s.fails(t, args...), "run millrace migrate", args)
	}
	require.NoFileExists(t, strings.TrimPrefix(s.url, "sqlite://"))
	require.Contains(t, s.does(t, "migrate"), "schema migrated from version 0 to 2")
	require.Contains(t, s.does(t, "migrate"), "schema is at version 2, the newest")
	require.Equal(t, migrated{Store: s.url, From: 2, To: 2}, of[migrated](t, s.does(t, "migrate", "--json")))
	require.Contains(t, millrace(t, "--store", "memory:", "migrate").out, "memory: has no schema")
}

// L3: a newer schema is left alone.
func TestNewerSchema(t *testing.T) {
	s := busyShop(t)
	s.sql(t, "UPDATE millrace_meta SET value = 77 WHERE name = 'schema'")
	before := s.file(t)
	for _, args := range everyCommand {
		line := s.fails(t, args...)
		require.Contains(t, line, "it has version 77, this program knows up to 2; use a newer program", args)
		require.Contains(t, line, s.url)
	}
	require.Equal(t, before, s.file(t))
}

// sql changes the file by hand.
func (s *shop) sql(t *testing.T, statement string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), strings.TrimPrefix(s.url, "sqlite://"), sqlite.Config{Options: store.Options{}})
	require.NoError(t, err)
	_, err = db.DB().Exec(statement)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

func (s *shop) file(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(strings.TrimPrefix(s.url, "sqlite://"))
	require.NoError(t, err)
	return b
}

// L1: also where the tests run as root, whom file permissions don't hold.
func TestReadOnlyFile(t *testing.T) {
	s := busyShop(t)
	path := strings.TrimPrefix(s.url, "sqlite://")
	require.NoError(t, os.Chmod(path, 0o444))
	before := s.file(t)
	for _, args := range everyCommand {
		require.Contains(t, s.asNobody(t, args...), path+", or its directory, is read-only", args)
	}
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o555))
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o755) })
	for _, args := range everyCommand {
		require.Contains(t, s.asNobody(t, args...), path, args)
	}
	require.Equal(t, before, s.file(t))
}

// asNobody runs a command in a process that file permissions hold for; it must
// fail, and say why in one line.
func (s *shop) asNobody(t *testing.T, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	if os.Getuid() == 0 {
		for d := filepath.Dir(strings.TrimPrefix(s.url, "sqlite://")); d != filepath.Dir(os.TempDir()); d = filepath.Dir(d) {
			info, err := os.Stat(d)
			require.NoError(t, err)
			require.NoError(t, os.Chmod(d, info.Mode()|0o555))
		}
		cmd = exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	cmd.Env = append(os.Environ(), envArgs+"="+strings.Join(append(args, "--store", s.url), " "))
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	_ = cmd.Run()
	return failed(t, said{cmd.ProcessState.ExitCode(), out.String(), log.String()})
}

// M7: a payload over the limit; the dead letter stays as it was.
func TestPayloadOverTheLimit(t *testing.T) {
	s := busyShop(t)
	file := filepath.Join(t.TempDir(), "payload.json")
	require.NoError(t, os.WriteFile(file, []byte(`"`+strings.Repeat("x", 200)+`"`), 0o600))
	t.Setenv("MILLRACE_PAYLOAD_LIMIT", "100")
	before := s.does(t, "dead", "show", "5")
	require.Contains(t, s.fails(t, "dead", "requeue", "5", "--payload", file), "over the size limit: payload has 202 bytes, limit 100")
	require.Equal(t, before, s.does(t, "dead", "show", "5"))
}

// L1
func TestBadCommandLines(t *testing.T) {
	s := busyShop(t)
	for line, says := range map[string]string{
		"":                                     "expected one of",
		"runs":                                 "expected one of",
		"fly":                                  "unexpected argument fly",
		"runs list --speed=9":                  "unknown flag --speed",
		"dead requeue":                         "name dead letters by their numbers, or ask for --all",
		"dead requeue 5 --all":                 "name dead letters by their numbers, or ask for --all",
		"dead requeue 5 --rate=1/s":            "--rate goes with --all",
		"dead requeue --all --rate=fast":       "--rate fast: write it as 5/s",
		"dead requeue --all --rate=-1/s":       "--rate -1/s",
		"dead requeue --all --rate=1/d":        "--rate 1/d",
		"dead requeue 5 8 --payload=x":         "--payload is for one dead letter",
		"dead requeue 5 --payload=no/such.txt": "no/such.txt",
	} {
		require.Contains(t, s.fails(t, strings.Fields(line)...), says, line)
	}
	require.Len(t, lines[deadLine](t, s.does(t, "dead", "list", "--json")), 2)
}

func TestVersionAndHelp(t *testing.T) {
	require.Contains(t, millrace(t, "version").out, "millrace ")
	require.Equal(t, []string{"memory", "postgres", "postgresql", "redis", "rediss", "sqlite"}, of[program](t, millrace(t, "version", "--json").out).Stores)
	help := millrace(t, "--help")
	require.Zero(t, help.code)
	require.Contains(t, help.out, "dead requeue")
}
