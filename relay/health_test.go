package relay

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Of batches under way together when the connection breaks, one that had been
// confirmed may be told of after one that had not. The broker is not back then.
//
// L1
func TestOldSuccessIsNoRecovery(t *testing.T) {
	var said bytes.Buffer
	h := &health{log: slog.New(slog.NewTextHandler(&said, nil))}
	both := time.Now()
	h.bad(publishing, errors.New("the connection broke"))
	h.good(publishing, both)
	require.Equal(t, not, h.now())
	h.bad(publishing, errors.New("not connected"))
	require.Equal(t, 1, strings.Count(said.String(), "does not answer"))
	require.Zero(t, strings.Count(said.String(), "is back"))
	h.good(publishing, time.Now())
	require.Equal(t, fully, h.now())
	require.Equal(t, 1, strings.Count(said.String(), "is back"))
}
