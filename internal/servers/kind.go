package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// User is the name and the password of the user that PostgreSQL and RabbitMQ
// know, and the name of the database.
const User = "millrace"

// kind is what differs between the three servers.
type kind struct {
	name     string
	variable string // of the environment, which names another shared instance
	port     int    // of the shared instance
	url      func(port int) string
	prepare  func(*Server) error // makes and configures the data's folder; also before a restart
	commands func(*Server) ([]*exec.Cmd, error)
	probe    func(ctx context.Context, url string) error
	stop     syscall.Signal // a graceful end
	drop     syscall.Signal // an end after which the data is not needed
}

func kinds() []kind { return []kind{postgres(), redis(), rabbitmq()} }

// binary returns the path of the first program that is there.
func binary(pkg string, names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (Debian package %s)", filepath.Base(names[0]), pkg)
}

// environ is what servers see of the environment: nothing that configures them.
func environ(home string, more ...string) []string {
	env := []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + home, "LANG=C.UTF-8"}
	return append(env, more...)
}

// lines are a configuration file's.
func lines(path string, all ...string) error {
	var text []byte
	for _, line := range all {
		text = append(append(text, line...), '\n')
	}
	return os.WriteFile(path, text, 0o644)
}
