package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func rabbitmq() kind {
	return kind{
		name: "rabbitmq", variable: "MILLRACE_TEST_AMQP", port: 27672,
		url:     func(port int) string { return fmt.Sprintf("amqp://%s:%s@127.0.0.1:%d/", User, User, port) },
		prepare: prepareRabbit, commands: rabbitCommands, probe: probeRabbit,
		stop: syscall.SIGTERM, drop: syscall.SIGKILL,
	}
}

// RabbitMQ needs two ports more: for Erlang's port mapper, of which each
// instance has its own, and for its own distribution.
func (s *Server) mapperPort() int       { return s.port + 1 }
func (s *Server) distributionPort() int { return s.port + 2 }

func prepareRabbit(s *Server) error {
	if err := os.MkdirAll(filepath.Join(s.dir, "mnesia"), 0o755); err != nil {
		return err
	}
	return errors.Join(
		lines(filepath.Join(s.dir, "enabled_plugins"), "[]."),
		lines(filepath.Join(s.dir, "rabbitmq.conf"), append([]string{
			"listeners.tcp.1 = 127.0.0.1:" + strconv.Itoa(s.port),
			"default_user = " + User,
			"default_pass = " + User,
			"default_user_tags.administrator = true",
			"disk_free_limit.absolute = 64MB",
			"vm_memory_high_watermark.absolute = 4GB",
			"consumer_timeout = 86400000", // ms
			"log.console = true",
			"log.console.level = warning",
			"log.file = false",
		}, s.settings...)...))
}

// rabbitCommands runs the script of the server itself: the one in the path
// changes the user.
func rabbitCommands(s *Server) ([]*exec.Cmd, error) {
	mapper, err := binary("rabbitmq-server", "epmd")
	if err != nil {
		return nil, err
	}
	path, err := binary("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
	if err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(s.dir, name) }
	server := exec.Command(path)
	server.Env = environ(s.dir,
		"detached=true", // the script becomes the server, instead of waiting for it
		"ERL_EPMD_PORT="+strconv.Itoa(s.mapperPort()),
		"ERL_EPMD_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_NODENAME=millrace-%d@localhost", s.port),
		"RABBITMQ_DIST_PORT="+strconv.Itoa(s.distributionPort()),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+in("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE="+in("rabbitmq-env.conf"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+in("mnesia"),
		"RABBITMQ_LOG_BASE="+in("log"),
		"RABBITMQ_LOGS=-",
		"RABBITMQ_PID_FILE="+in("erlang.pid"))
	names := exec.Command(mapper, "-port", strconv.Itoa(s.mapperPort()), "-address", "127.0.0.1")
	names.Env = environ(s.dir)
	server.Dir, names.Dir = s.dir, s.dir
	return []*exec.Cmd{names, server}, nil
}

func probeRabbit(ctx context.Context, url string) error {
	conn, err := amqp.DialConfig(url, amqp.Config{Dial: func(network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		end, ok := ctx.Deadline()
		if !ok {
			end = time.Now().Add(5 * time.Second)
		}
		return c, c.SetDeadline(end)
	}})
	if err != nil {
		return err
	}
	return conn.Close()
}
