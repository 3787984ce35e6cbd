package redisstream_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// notes keeps the lines that are said.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notes) log() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

// lines returns those that contain all of parts.
func (n *notes) lines(parts ...string) (found []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
next:
	for line := range strings.Lines(n.buf.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}
