package servers

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	client "github.com/redis/go-redis/v9"
)

func redis() kind {
	return kind{
		name: "redis", variable: "MILLRACE_TEST_REDIS", port: 27379,
		url:     func(port int) string { return fmt.Sprintf("redis://127.0.0.1:%d/0", port) },
		prepare: prepareRedis, commands: redisCommands, probe: probeRedis,
		stop: syscall.SIGTERM, drop: syscall.SIGKILL,
	}
}

func prepareRedis(s *Server) error {
	return lines(filepath.Join(s.dir, "redis.conf"), append([]string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(s.port),
		"dir " + s.dir,
		"daemonize no",
		"appendonly yes",
		"appendfsync always",
		"auto-aof-rewrite-min-size 1gb", // by default it writes its log anew each 64 MB: under load each second
		`save ""`,
		"maxmemory-policy noeviction",
	}, s.settings...)...)
}

func redisCommands(s *Server) ([]*exec.Cmd, error) {
	path, err := binary("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, filepath.Join(s.dir, "redis.conf"))
	cmd.Dir, cmd.Env = s.dir, environ(s.dir)
	return []*exec.Cmd{cmd}, nil
}

func probeRedis(ctx context.Context, url string) error {
	opts, err := client.ParseURL(url)
	if err != nil {
		return err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", opts.Addr) // the client would log each failure
	if err != nil {
		return err
	}
	_ = conn.Close()
	opts.MaxRetries, opts.DisableIdentity = -1, true
	c := client.NewClient(opts)
	defer c.Close()
	return c.Ping(ctx).Err() // while it loads its data, this is an error
}
