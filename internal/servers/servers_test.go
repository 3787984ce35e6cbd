package servers

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stored returns how many notes a server holds, after it took one more.
type stored func(ctx context.Context, url string) (int, error)

func inPostgres(ctx context.Context, url string) (n int, err error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	for _, stmt := range []string{"CREATE TABLE IF NOT EXISTS notes (id int)", "INSERT INTO notes VALUES (1)"} {
		if _, err := db.ExecContext(ctx, stmt); err != nil {
			return 0, err
		}
	}
	return n, db.QueryRowContext(ctx, "SELECT count(*) FROM notes").Scan(&n)
}

func inRedis(ctx context.Context, url string) (int, error) {
	opts, err := client.ParseURL(url)
	if err != nil {
		return 0, err
	}
	c := client.NewClient(opts)
	defer c.Close()
	n, err := c.Incr(ctx, "notes").Result()
	return int(n), err
}

func inRabbit(ctx context.Context, url string) (int, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return 0, err
	}
	if err := ch.Confirm(false); err != nil {
		return 0, err
	}
	// Not a quorum queue: RabbitMQ 3.10 never elects a leader for one that was
	// declared within seconds before a kill.
	if _, err := ch.QueueDeclare("notes", true, false, false, false, nil); err != nil {
		return 0, err
	}
	sent, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", "notes", true, false,
		amqp.Publishing{Body: []byte("1"), DeliveryMode: amqp.Persistent})
	if err != nil {
		return 0, err
	}
	if ok, err := sent.WaitContext(ctx); err != nil || !ok {
		return 0, fmt.Errorf("not confirmed: %w", err)
	}
	q, err := ch.QueueDeclarePassive("notes", true, false, false, false, nil)
	return q.Messages, err
}

func TestPrivateServers(t *testing.T) {
	for name, c := range map[string]struct {
		start func(T, ...string) *Private
		put   stored
	}{
		"postgres": {StartPostgres, inPostgres},
		"redis":    {StartRedis, inRedis},
		"rabbitmq": {StartAMQP, inRabbit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			s := c.start(t)
			holds := func(want int) {
				t.Helper()
				require.Eventually(t, func() bool { // a queue is counted some time after it was filled
					ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
					defer cancel()
					n, err := c.put(ctx, s.URL())
					if err != nil || n < want {
						t.Log(n, err)
					}
					return err == nil && n >= want
				}, 30*time.Second, 20*time.Millisecond)
			}
			holds(1)
			first := s.Pid()
			family := s.procs[len(s.procs)-1].children()
			s.Start()
			require.Equal(t, first, s.Pid(), "it runs already")

			s.Kill()
			require.Zero(t, s.Pid())
			for _, p := range family {
				require.False(t, p.alive(), "a child of a killed server")
			}
			_, err := c.put(ctx, s.URL())
			require.Error(t, err)
			s.Start()
			require.NotEqual(t, first, s.Pid())
			holds(2)
			s.Stop()
			s.Start()
			holds(3)
		})
	}
}

func TestSettingsOfAPrivateServer(t *testing.T) {
	t.Parallel()
	s := StartPostgres(t, "max_connections = 7")
	db, err := sql.Open("postgres", s.URL())
	require.NoError(t, err)
	defer db.Close()
	var n string
	require.NoError(t, db.QueryRow("SHOW max_connections").Scan(&n))
	require.Equal(t, "7", n)
	require.NoError(t, db.QueryRow("SHOW fsync").Scan(&n))
	require.Equal(t, "on", n)
}

// servicesOfATest are shared servers on ports of their own: those two that
// start fast.
func servicesOfATest(t *testing.T) *Services {
	t.Helper()
	dir, err := os.MkdirTemp("", "millrace-services-test-") // PostgreSQL's user must get in
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	s, err := Open(dir)
	require.NoError(t, err)
	s.kinds = []kind{postgres(), redis()}
	for i := range s.kinds {
		s.kinds[i].port, err = freePorts()
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		require.NoError(t, s.Down(context.Background()))
		require.NoError(t, os.RemoveAll(dir))
	})
	return s
}

func started(states []State) (n int) {
	for _, s := range states {
		if s.Started {
			n++
		}
	}
	return n
}

func TestServices(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), servicesOfATest(t)
	require.Error(t, s.Check(ctx))
	states, err := s.Up(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, started(states))
	require.NoError(t, s.Check(ctx))

	again, err := s.Up(ctx)
	require.NoError(t, err)
	require.Zero(t, started(again), "a second call does nothing")

	// One dies, and its number goes to a process that has nothing to do with it.
	redis, err := s.known(s.kinds[1])
	require.NoError(t, err)
	require.NoError(t, redis.kill(ctx))
	stranger := exec.Command("sleep", "600")
	require.NoError(t, stranger.Start())
	t.Cleanup(func() {
		require.NoError(t, stranger.Process.Kill())
		_ = stranger.Wait()
	})
	require.NoError(t, lines(redis.pidFile(), fmt.Sprint(stranger.Process.Pid, " 1")))
	again, err = s.Up(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, started(again))
	seen, ok := look(stranger.Process.Pid)
	require.True(t, ok && seen.state != "Z", "the stranger lives")

	// One that does not answer, though it runs, is replaced.
	redis, err = s.known(redis.kind)
	require.NoError(t, err)
	first := redis.Pid()
	require.NoError(t, redis.procs[0].signal(syscall.SIGSTOP))
	again, err = s.Up(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, started(again))
	redis, err = s.known(redis.kind)
	require.NoError(t, err)
	require.NotEqual(t, first, redis.Pid())

	require.NoError(t, s.Down(ctx))
	require.Error(t, s.Check(ctx))
	for _, state := range states {
		seen, there := look(state.Pid)
		require.True(t, !there || seen.state == "Z", state.Name)
		require.NoDirExists(t, filepath.Join(s.dir, state.Name))
	}
}

// verdict is a test that notes how it ended.
type verdict struct {
	T
	failed, skipped string
}

func (v *verdict) Helper() {}
func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	panic(v)
}
func (v *verdict) Skipf(format string, args ...any) {
	v.skipped = fmt.Sprintf(format, args...)
	panic(v)
}

func (v *verdict) of(run func()) {
	defer func() { _ = recover() }()
	run()
}

func TestSharedServerThatIsDown(t *testing.T) {
	var r reached
	var v verdict
	t.Setenv("MILLRACE_TEST_POSTGRES", "postgres://u:secret@127.0.0.1:1/x?sslmode=disable")
	v.of(func() { shared(&v, postgres(), &r) })
	require.Contains(t, v.failed, "postgres at 127.0.0.1:1: ")
	require.Contains(t, v.failed, "run: make services")
	require.NotContains(t, v.failed, "secret")
	require.NotContains(t, v.failed, "\n")

	v = verdict{}
	t.Setenv("MILLRACE_TEST_POSTGRES", "none")
	v.of(func() { shared(&v, postgres(), &r) })
	require.True(t, strings.HasPrefix(v.skipped, "MILLRACE_TEST_POSTGRES"))
	require.Empty(t, v.failed)
}

func TestSharedServers(t *testing.T) {
	for _, url := range []string{Postgres(t), Redis(t), AMQP(t)} {
		require.Contains(t, url, "://")
	}
}
