package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
		return
	}
	goleak.VerifyTestMain(m)
}

// process is a child at work.
type process struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	said  chan string // lines; closed at its end
	mu    sync.Mutex
	acked map[int]bool // runs that it has started
}

// spawn starts a child on the store, which is told to start runs.
func spawn(t testing.TB, url string, from, to int) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0]), said: make(chan string, 10_000), acked: map[int]bool{}}
	p.cmd.Env = append(os.Environ(), childEnv+"="+url)
	p.cmd.Stderr = io.Discard
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go p.listen(out)
	_, err = fmt.Fprintln(p.in, from, to)
	require.NoError(t, err)
	return p
}

func (p *process) listen(out io.Reader) {
	defer close(p.said)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var i int
		if _, err := fmt.Sscanf(lines.Text(), "started %d", &i); err == nil {
			p.mu.Lock()
			p.acked[i] = true
			p.mu.Unlock()
		}
		p.said <- lines.Text()
	}
}

// kill ends the process at once, and returns the first run from from on that
// it has not confirmed.
func (p *process) kill(from int) int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Kill())
	for range p.said {
	}
	_ = p.cmd.Wait() // says that it was killed
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.acked[from] {
		from++
	}
	return from
}

// stop ends the process in good order.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.in.Close())
	for line := range p.said {
		require.NotContains(p.t, line, "error")
	}
	require.NoError(p.t, p.cmd.Wait())
}

// after blocks for a random time of at most d, once the process works.
func (p *process) after(d time.Duration) {
	p.t.Helper()
	select {
	case line, ok := <-p.said:
		require.True(p.t, ok, "the child has ended")
		require.Contains(p.t, line, "started")
	case <-time.After(30 * time.Second):
		p.t.Fatal("the child does not work")
	}
	<-time.After(rand.N(d))
}

func kills(usual, torture int) int {
	if os.Getenv("MILLRACE_TORTURE") != "" {
		return torture
	}
	return usual
}

// A process is killed again and again while it works, and started again; what
// is left is as if nobody had ever died.
//
// M1, M2, M4, M5, M9, F1, F2, F9, T1, R1, C1, C2, H1, H2, L5
//
//semantics:stores sqlite
func TestCrash(t *testing.T) {
	url := "sqlite://" + t.TempDir() + "/crash.db"
	began, times, next := time.Now(), kills(25, 220), 0
	for range times {
		p := spawn(t, url, next, next+4)
		if rand.IntN(5) > 0 {
			p.after(60 * time.Millisecond)
		} else { // while it begins
			<-time.After(rand.N(40 * time.Millisecond))
		}
		next = p.kill(next)
	}
	runs := next + 4
	p := spawn(t, url, next, runs)
	verify(t, url, runs)
	p.stop()
	t.Logf("%d runs, %d kills, %v", runs, times, time.Since(began).Round(time.Second))
}

// Of two processes on one file, one is killed again and again. The other goes
// on, and what the dead one held is free long before its lease would end.
//
// M2, M3, M5, M9, F2, T1, C2, L5
//
//semantics:stores sqlite
func TestCrashOfOneOfTwo(t *testing.T) {
	url := "sqlite://" + t.TempDir() + "/crash.db"
	const steady = 40
	other := spawn(t, url, 0, steady)
	next := steady
	for range kills(6, 40) {
		p := spawn(t, url, next, next+4)
		p.after(80 * time.Millisecond)
		next = p.kill(next)
	}
	runs := next + 4
	last := spawn(t, url, next, runs)
	verify(t, url, runs)
	last.stop()
	other.stop()
}

// verify waits until all runs have ended and nothing is open, and looks at
// what is there.
func verify(t testing.TB, url string, runs int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second) // less than the lease
	defer cancel()
	r, err := router.New(ctx, router.Config{Store: url, Poll: 20 * time.Millisecond})
	require.NoError(t, err)
	defer r.Close()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for i := range runs {
		h, err := saga.Find(ctx, r, runID(i))
		for ; err != nil && ctx.Err() == nil; h, err = saga.Find(ctx, r, runID(i)) {
			<-ask.C // it is not started yet
		}
		require.NoError(t, err)
		planned(ctx, t, h, i)
	}
	for open := 1; open > 0; <-ask.C {
		found, err := r.Find(ctx, store.Query{Messages: &store.MessageQuery{}, Limit: 100})
		require.NoError(t, err)
		open = len(found.Messages)
	}
	check(ctx, t, r, runs)
}

// planned waits for a run, which is to end as planned.
func planned(ctx context.Context, t testing.TB, h saga.Run, i int) {
	t.Helper()
	var got int
	err := h.Result(ctx, &got)
	if fails(i) {
		require.ErrorIs(t, err, saga.ErrFailed)
		require.ErrorContains(t, err, "as planned")
		return
	}
	require.NoError(t, err)
	require.Equal(t, i, got)
}
