package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
)

// envArgs holds the command line of the test binary when it runs as millrace.
const envArgs = "MILLRACE_TEST_ARGS"

func TestMain(m *testing.M) {
	args, ok := os.LookupEnv(envArgs)
	if !ok {
		os.Exit(m.Run())
	}
	os.Exit(run(context.Background(), strings.Fields(args), os.Stdout, os.Stderr))
}

// said is what a command line has come to.
type said struct {
	code     int
	out, err string
}

func millrace(t *testing.T, args ...string) said {
	t.Helper()
	var out, log bytes.Buffer
	code := run(t.Context(), args, &out, &log)
	return said{code, out.String(), log.String()}
}

// shop is a store with what a busy day leaves behind.
type shop struct {
	url   string
	ran   chan string   // tasks, when their handlers are entered
	letGo chan struct{} // ends the handlers of hold
}

type order struct {
	ID   string
	Good bool
}

var (
	sum     = saga.NewTask[[]int]("shop/sum")
	place   = saga.NewTask[order]("shop/place")
	charge  = saga.NewTask[order]("shop/charge")
	notify  = saga.NewTask[order]("shop/notify")
	refund  = saga.NewTask[order]("shop/refund")
	ship    = saga.NewTask[saga.Joined[order]]("shop/ship")
	expire  = saga.NewTask[saga.Joined[order]]("shop/expire")
	hold    = saga.NewTask[int]("shop/hold")
	crash   = saga.NewTask[string]("shop/crash")
	packed  = saga.NewEvent[int]("packed")
	charged = saga.NewEvent[int]("charged")
)

func newShop(t *testing.T) *shop {
	t.Helper()
	return &shop{url: "sqlite://" + filepath.Join(t.TempDir(), "shop.db"), ran: make(chan string, 1000), letGo: make(chan struct{})}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// open does what f says with a router that has the shop's handlers.
func (s *shop) open(t *testing.T, f func(ctx context.Context, r *router.Router)) {
	t.Helper()
	r, err := router.New(t.Context(), router.Config{Store: s.url, Policy: step.Policy{Attempts: 1}, Log: quiet()})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	s.bind(r)
	require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error { f(ctx, r); return nil }))
}

func (s *shop) bind(r *router.Router) {
	saga.Handle(r, sum, func(_ context.Context, ns []int) (saga.Step, error) {
		n := 0
		for _, i := range ns {
			n += i
		}
		return saga.Finish(n), nil
	})
	saga.Handle(r, place, func(_ context.Context, o order) (saga.Step, error) {
		return saga.Do(
			saga.Send(charge, o), saga.Send(notify, o).After(48*time.Hour).Named("reminder"), saga.Undo(refund, o),
			saga.Emit(packed, 1), saga.Join(saga.All(packed, charged), ship, o).Within(72*time.Hour, expire).Named("both"),
		), nil
	})
	saga.Handle(r, charge, func(_ context.Context, o order) (saga.Step, error) {
		defer func() { s.ran <- "charge" }()
		if !o.Good {
			return nil, saga.Permanent(errors.New("card\nrefused"))
		}
		return saga.Emit(charged, 1), nil
	})
	saga.Handle(r, ship, func(context.Context, saga.Joined[order]) (saga.Step, error) { return saga.Finish("shipped"), nil })
	saga.Handle(r, expire, func(context.Context, saga.Joined[order]) (saga.Step, error) { return nil, nil })
	for _, t := range []saga.Task[order]{notify, refund} {
		saga.Handle(r, t, func(context.Context, order) (saga.Step, error) { return nil, nil })
	}
	saga.Handle(r, hold, func(context.Context, int) (saga.Step, error) {
		s.ran <- "hold"
		<-s.letGo
		return nil, nil
	})
	saga.Handle(r, crash, func(_ context.Context, what string) (saga.Step, error) {
		defer func() { s.ran <- "crash" }()
		panic(what)
	})
}

// await waits until so many handlers were entered; what they decided is stored
// once the router has been closed.
func (s *shop) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.ran:
		case <-t.Context().Done():
			t.Fatal("the handlers do not run")
		}
	}
}

// busyShop has a finished run (sum-1), one that waits for much (order-1), and
// the dead letters of order-1 and of a job.
func busyShop(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	s.open(t, func(ctx context.Context, r *router.Router) {
		h, err := saga.Start(ctx, r, sum, []int{1, 2}, saga.ID("sum-1"))
		require.NoError(t, err)
		require.NoError(t, h.Result(ctx, nil))
		_, err = saga.Start(ctx, r, place, order{ID: "1"}, saga.ID("order-1"))
		require.NoError(t, err)
		s.await(t, 1)
		require.NoError(t, saga.Enqueue(ctx, r, "", crash, "boom"))
		s.await(t, 1)
	})
	return s
}

// does runs a command on the shop's store that must succeed.
func (s *shop) does(t *testing.T, args ...string) string {
	t.Helper()
	got := millrace(t, append([]string{"--store", s.url}, args...)...)
	require.Zero(t, got.code, "%v: %s", args, got.err)
	require.Empty(t, got.err)
	return got.out
}

// fails runs a command that must not succeed, and returns the one line that it
// says.
func (s *shop) fails(t *testing.T, args ...string) string {
	t.Helper()
	return failed(t, millrace(t, append([]string{"--store", s.url}, args...)...))
}

func failed(t *testing.T, got said) string {
	t.Helper()
	require.Equal(t, 1, got.code, "%s%s", got.out, got.err)
	require.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
	require.True(t, strings.HasPrefix(got.err, "millrace: ") && strings.HasSuffix(got.err, "\n"), got.err)
	return strings.TrimSpace(got.err)
}

// of decodes one JSON document.
func of[T any](t *testing.T, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	return v
}

// lines decodes JSON lines.
func lines[T any](t *testing.T, text string) (all []T) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line != "" {
			all = append(all, of[T](t, line))
		}
	}
	return all
}

var changing = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`), "(when)"},
	{regexp.MustCompile(`\b[0-9A-Z]{32}\b`), "(id)"},
	{regexp.MustCompile(`in \d+h\d+m`), "in (time)"},
	{regexp.MustCompile(`  +`), "  "},
}

// steady puts placeholders for what differs from run to run.
func steady(text string) string {
	for _, c := range changing {
		text = c.re.ReplaceAllString(text, c.to)
	}
	return text
}
