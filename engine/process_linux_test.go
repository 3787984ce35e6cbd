package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A process that has ended, and whose parent has not asked how, is gone.
func TestZombieIsGone(t *testing.T) {
	me := needProc(t)
	cmd, end := child(t)
	w := me
	w.PID = cmd.Process.Pid
	w.Born, _ = bornAt(w.PID)
	end()
	require.NoError(t, unix.Waitid(unix.P_PID, w.PID, nil, unix.WEXITED|unix.WNOWAIT, nil))
	require.True(t, gone(w, me))
	require.NoError(t, cmd.Wait())
}
