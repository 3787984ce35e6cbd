package engine

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
)

// needProc skips a test where the system does not tell about processes.
func needProc(t *testing.T) store.Worker {
	me := thisProcess()
	if me.Born == "" || me.Boot == "" || me.PidNS == "" {
		t.Skip("the system does not tell about processes")
	}
	return me
}

func TestThisProcess(t *testing.T) {
	me := needProc(t)
	require.Equal(t, os.Getpid(), me.PID)
	_, err := strconv.ParseUint(me.Born, 10, 64)
	require.NoError(t, err)
	require.False(t, gone(me, me))
}

// M5
func TestGone(t *testing.T) {
	me := needProc(t)
	for name, c := range map[string]struct {
		change func(*store.Worker)
		gone   bool
	}{
		"the process itself":             {func(*store.Worker) {}, false},
		"an earlier one with its number": {func(w *store.Worker) { w.Born = "1" }, true},
		"one whose start nobody knows":   {func(w *store.Worker) { w.Born = "" }, false},
		"another boot":                   {func(w *store.Worker) { w.Born, w.Boot = "1", "other" }, false},
		"a boot that nobody knows":       {func(w *store.Worker) { w.Born, w.Boot = "1", "" }, false},
		// Two containers with the same host name on the same machine.
		"another pid namespace": {func(w *store.Worker) { w.Born, w.PidNS = "1", "pid:[1]" }, false},
		"another host name, same machine": {func(w *store.Worker) {
			w.Host, w.Born = "renamed", "1"
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := me
			c.change(&w)
			require.Equal(t, c.gone, gone(w, me))
		})
	}
}

// child starts a process that waits until its input is closed.
func child(t *testing.T) (cmd *exec.Cmd, end func()) {
	cmd = exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skip("no process can be started: ", err)
	}
	return cmd, func() { require.NoError(t, in.Close()) }
}

func TestChildLivesAndDies(t *testing.T) {
	me := needProc(t)
	cmd, end := child(t)
	w := me
	w.PID = cmd.Process.Pid
	var unknown bool
	w.Born, unknown = bornAt(w.PID)
	require.False(t, unknown)
	require.False(t, gone(w, me))
	end()
	require.NoError(t, cmd.Wait())
	require.True(t, gone(w, me))
	born, unknown := bornAt(w.PID)
	require.Empty(t, born)
	require.False(t, unknown)
}

func TestNumberOfNoProcess(t *testing.T) {
	needProc(t)
	require.True(t, missing(1<<30))
	require.False(t, missing(os.Getpid()))
	require.False(t, missing(1), "not even if it may not be signalled")
}
