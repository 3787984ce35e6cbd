package faults

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// said is what routers have logged.
type said struct {
	t    *testing.T
	name string
	mu   sync.Mutex
	all  []slog.Record
	over bool
}

func newSaid(t *testing.T, name string) *said {
	s := &said{t: t, name: name}
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.over = true
	})
	return s
}

func (s *said) logger() *slog.Logger { return slog.New(s) }

// Enabled implements slog.Handler.
func (s *said) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (s *said) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup implements slog.Handler.
func (s *said) WithGroup(string) slog.Handler { return s }

// Handle implements slog.Handler.
func (s *said) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	s.all = append(s.all, r)
	if r.Level >= slog.LevelWarn {
		var text strings.Builder
		r.Attrs(func(a slog.Attr) bool {
			text.WriteString(" " + a.String())
			return true
		})
		s.t.Log(s.name, r.Level, r.Message+text.String())
	}
	return nil
}

// count returns how many records of a level or above have a message that
// contains a text.
func (s *said) count(level slog.Level, text string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.all {
		if r.Level >= level && strings.Contains(r.Message, text) {
			n++
		}
	}
	return n
}

// total returns how many records of a level or above there are.
func (s *said) total(level slog.Level) int { return s.count(level, "") }

// since returns the messages of the records from the n-th on that are of a
// level or above.
func (s *said) since(n int, level slog.Level) (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.all[n:] {
		if r.Level >= level {
			out = append(out, r.Message)
		}
	}
	return out
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }
