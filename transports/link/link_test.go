package link_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/transports/link"
)

// However many notice, a loss is told once, and the end of it once, when
// everybody gets on again.
func TestEachIsToldOnce(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	l := link.New(slog.New(slog.NewTextHandler(&said, nil)), "the server")
	l.Works("a")
	require.False(t, l.Down())
	for range 3 {
		l.Failed("a", errors.New("cut"))
		l.Failed("b", errors.New("cut"))
		l.Failed("gone", errors.New("cut"))
	}
	l.Leave("gone")
	l.Works("a")
	require.True(t, l.Down())
	require.Eventually(t, func() bool {
		l.Works("a")
		l.Works("b")
		return !l.Down()
	}, 20*time.Second, time.Millisecond)
	l.Works("b")
	require.Equal(t, 1, strings.Count(said.String(), "lost the server; trying again"))
	require.Equal(t, 1, strings.Count(said.String(), "the server is back"))
	require.Equal(t, 2, strings.Count(said.String(), "\n"))
}
