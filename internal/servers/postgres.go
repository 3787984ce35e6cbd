package servers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	_ "github.com/lib/pq" // the probe
)

func postgres() kind {
	return kind{
		name: "postgres", variable: "MILLRACE_TEST_POSTGRES", port: 27432,
		url: func(port int) string {
			return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", User, User, port, User)
		},
		prepare: preparePostgres, commands: postgresCommands, probe: probePostgres,
		stop: syscall.SIGINT, drop: syscall.SIGQUIT,
	}
}

// bin returns the folder of PostgreSQL's programs, of the newest version.
func bin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return versionOf(b) - versionOf(a) })
	path, err := binary("postgresql", append(found, "postgres")...)
	return filepath.Dir(path), err
}

func versionOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// owner returns what makes a process one of the user postgres, since
// PostgreSQL refuses to run for root. It is nil for all others.
func owner() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func preparePostgres(s *Server) error {
	data := filepath.Join(s.dir, "data")
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		if err := initPostgres(s, data); err != nil {
			return err
		}
	}
	return lines(filepath.Join(s.dir, "postgresql.conf"), append([]string{
		"data_directory = '" + data + "'",
		"hba_file = '" + filepath.Join(data, "pg_hba.conf") + "'",
		"ident_file = '" + filepath.Join(data, "pg_ident.conf") + "'",
		"listen_addresses = '127.0.0.1'",
		"port = " + strconv.Itoa(s.port),
		"unix_socket_directories = ''",
		"dynamic_shared_memory_type = mmap", // ends with the data's folder
		"max_connections = 200",
		"shared_buffers = 256MB",
		"max_wal_size = 4GB",
		"fsync = on",
		"synchronous_commit = on",
		"log_checkpoints = off",
	}, s.settings...)...)
}

// initPostgres makes the cluster with the user and the database. A folder that
// is there is complete: it gets its name when all is done.
func initPostgres(s *Server, data string) error {
	programs, err := bin()
	if err != nil {
		return err
	}
	raw, password := data+".new", filepath.Join(s.dir, "password")
	if err := errors.Join(os.RemoveAll(raw), lines(password, User)); err != nil {
		return err
	}
	init := exec.Command(filepath.Join(programs, "initdb"), "-D", raw, "-U", User, "--pwfile", password,
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	create := exec.Command(filepath.Join(programs, "postgres"), "--single", "-D", raw, "postgres")
	create.Stdin = strings.NewReader("CREATE DATABASE " + User + "\n")
	for _, cmd := range []*exec.Cmd{init, create} {
		if err := asOwner(s, cmd); err != nil {
			return err
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, out)
		}
	}
	return os.Rename(raw, data)
}

// asOwner lets the command run for the user that owns the server's folder.
func asOwner(s *Server, cmd *exec.Cmd) error {
	as, err := owner()
	if err != nil {
		return err
	}
	cmd.Dir, cmd.Env = s.dir, environ(s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if as == nil {
		return nil
	}
	return os.Chown(s.dir, int(as.Uid), int(as.Gid))
}

func postgresCommands(s *Server) ([]*exec.Cmd, error) {
	programs, err := bin()
	if err != nil {
		return nil, err
	}
	// What a killed server left names a process id, which may be in use again.
	err = os.Remove(filepath.Join(s.dir, "data", "postmaster.pid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(programs, "postgres"), "--config-file="+filepath.Join(s.dir, "postgresql.conf"))
	return []*exec.Cmd{cmd}, asOwner(s, cmd)
}

func probePostgres(ctx context.Context, url string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}
