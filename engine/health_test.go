package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

type notes []string

func (n *notes) Warn(text string, _ ...any) { *n = append(*n, text) }

// An outage is told once, and its end once, though the connections that it
// broke fail one by one.
//
// R5
func TestOutageIsToldOnce(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		var said notes
		h := health{log: &said}
		h.note(nil)
		h.note(store.ErrUnavailable)
		for range 3 {
			h.note(nil)
			h.note(store.ErrUnavailable)
		}
		h.note(nil)
		h.note(store.ErrClosed) // says nothing about the store
		<-time.After(steady / 2)
		h.note(nil)
		require.Len(t, said, 1)
		<-time.After(steady) // of the bubble
		h.note(nil)
		h.note(nil)
		require.Equal(t, notes{"millrace: the store does not answer; work pauses", "millrace: the store is back"}, said)
	})
}
