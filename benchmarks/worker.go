package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

// workerEnv makes the command a worker process: its value is an assignment.
const workerEnv = "BENCHMARKS_WORKER"

// assignment is what a worker process works on.
type assignment struct {
	Store     string        `json:"store"`
	Transport string        `json:"transport"`
	Handover  string        `json:"handover"`
	Service   string        `json:"service"`
	Workload  string        `json:"workload"`
	Clients   int           `json:"clients"`
	Lease     time.Duration `json:"lease"`
}

// What a worker process is told, and tells, a line each:
//
//	start ID FROM TO    starts the runs ID0, ID1 ... of these numbers
//	ready               its handlers run
//	started FROM TO     the runs are in the store
//	entered RUN STEP    a handler was entered
//	failed TEXT         why it ends
const (
	startLine   = "start %s %d %d\n"
	readyLine   = "ready\n"
	startedLine = "started %d %d\n"
	enteredWord = "entered "
	failedLine  = "failed %q\n"
)

// work is a worker process. It runs handlers until its input ends.
func work(ctx context.Context, text string, in io.Reader, out io.Writer) error {
	defer collectSeldom()()
	tell := &teller{out: out}
	err := workOn(ctx, text, in, tell)
	if err != nil {
		tell.line(failedLine, err.Error())
	}
	return err
}

func workOn(ctx context.Context, text string, in io.Reader, tell *teller) error {
	var a assignment
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		return err
	}
	found, err := choose(killable(), a.Workload)
	if err != nil {
		return err
	}
	p := &place{store: a.Store, transport: a.Transport, handover: a.Handover, service: a.Service}
	c := p.config()
	c.Lease = a.Lease
	r, err := router.New(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	first := found[0].bind(r, a.Service, tell.entered)
	return r.RunWhile(ctx, func(ctx context.Context) error {
		tell.line(readyLine)
		return obey(ctx, r, first, a.Clients, in, tell)
	})
}

// order is a chunk of runs to start.
type order struct {
	id       string
	from, to int
	left     atomic.Int64 // that are not in the store yet
}

// obey starts the runs that the input asks for, in the order of asking.
func obey(ctx context.Context, h saga.Host, first saga.Task[payload], clients int, in io.Reader, tell *teller) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	type start struct {
		*order
		run int
	}
	starts := make(chan start)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for s := range starts {
				if err := startUntilStored(ctx, h, first, s.id, s.run); err != nil {
					fail(err)
				} else if s.left.Add(-1) == 0 {
					tell.line(startedLine, s.from, s.to)
				}
			}
		})
	}
	for lines := bufio.NewScanner(in); lines.Scan() && ctx.Err() == nil; {
		o := &order{}
		if _, err := fmt.Sscanf(lines.Text()+"\n", startLine, &o.id, &o.from, &o.to); err != nil {
			fail(fmt.Errorf("order %q: %w", lines.Text(), err))
			break
		}
		o.left.Store(int64(o.to - o.from))
		for run := o.from; run < o.to; run++ {
			starts <- start{o, run}
		}
	}
	close(starts)
	all.Wait()
	return context.Cause(ctx)
}

// startUntilStored starts a run. A store that is away is asked again, for some
// time: the run's id makes it one.
func startUntilStored(ctx context.Context, h saga.Host, first saga.Task[payload], id string, run int) error {
	begun := time.Now()
	for {
		_, err := saga.Start(ctx, h, first, newPayload(run, 0), saga.ID(runID(id, run)))
		away := errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
		if !away || time.Since(begun) > patience {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// teller writes lines, each at once: what was told is known when the process
// is killed. It is safe for concurrent use.
type teller struct {
	mu  sync.Mutex
	out io.Writer
}

func (t *teller) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = io.WriteString(t.out, text) // who listened is gone: the input ends as well
}

// entered tells that a handler was entered, at the cost of one write.
func (t *teller) entered(run, step int) {
	b := append(make([]byte, 0, 32), enteredWord...)
	b = append(strconv.AppendInt(b, int64(run), 10), ' ')
	b = append(strconv.AppendInt(b, int64(step), 10), '\n')
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.out.Write(b)
}

// enteredIn reads what entered tells.
func enteredIn(text string, into *[2]int) bool {
	rest, ok := strings.CutPrefix(text, enteredWord)
	if !ok {
		return false
	}
	run, step, _ := strings.Cut(strings.TrimSuffix(rest, "\n"), " ")
	var errs [2]error
	into[0], errs[0] = strconv.Atoi(run)
	into[1], errs[1] = strconv.Atoi(step)
	return errs == [2]error{}
}
