package known

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }

// T1: the time that is told is never behind the server's, and ahead by no more
// than its quickest answer took.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		const skew = 42 * time.Minute
		server := func() store.Instant { return store.At(time.Now().Add(skew)) }
		ask := func(there, back time.Duration) {
			asked := time.Now()
			pass(there)
			said := server()
			pass(back)
			p.Heard(asked, said)
		}
		within := func(most time.Duration) {
			t.Helper()
			now, ok := p.Tell()
			require.True(t, ok)
			require.GreaterOrEqual(t, now.Sub(server()), time.Duration(0), "behind")
			require.LessOrEqual(t, now.Sub(server()), most, "ahead")
		}
		_, ok := p.Tell()
		require.False(t, ok, "nothing was heard")
		ask(30*time.Millisecond, 50*time.Millisecond)
		within(30 * time.Millisecond)
		ask(time.Millisecond, 40*time.Millisecond)
		within(time.Millisecond)
		ask(90*time.Millisecond, time.Millisecond)
		within(time.Millisecond) // the quicker one was kept
		ask(time.Second, time.Second)
		within(time.Millisecond) // too slow to tell
		pass(paceFor)
		_, ok = p.Tell()
		require.False(t, ok, "it is old")
		ask(10*time.Millisecond, 10*time.Millisecond)
		within(10 * time.Millisecond)
	})
}

// A server whose clock is set is believed.
func TestPaceClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, step := range []time.Duration{time.Hour, -time.Hour, 200 * time.Millisecond, -200 * time.Millisecond} {
			var p Pace
			p.Heard(time.Now(), store.At(time.Now()))
			asked := time.Now()
			pass(50 * time.Millisecond)
			said := store.At(time.Now().Add(step))
			p.Heard(asked, said)
			now, ok := p.Tell()
			require.True(t, ok)
			require.Equal(t, 50*time.Millisecond, now.Sub(said), "set by %v", step)
		}
	})
}
