package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// A dial that took too long is, for errors.Is, the end of a context. It is an
// outage all the same: the outcome is tried again, and the handler is not.
//
// M3, R5
func TestOutageByADeadlineOfTheDriver(t *testing.T) {
	for _, sentinel := range []error{store.ErrUnavailable, store.ErrUnknown} {
		require.True(t, passing(fmt.Errorf("commit: %w: %w", sentinel, errors.Join(errors.New("cut"), context.DeadlineExceeded))))
	}
	require.False(t, passing(fmt.Errorf("commit: %w", context.DeadlineExceeded)))
	require.False(t, passing(store.ErrClosed))
	require.False(t, passing(nil))
}
