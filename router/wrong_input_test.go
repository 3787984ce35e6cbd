//semantics:stores memory sqlite

package router_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/doctor/doctortest"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
	_ "github.com/millrace-go/millrace/transports/memory"
)

var (
	known   = saga.NewTask[string]("svc/known")
	missing = saga.NewTask[string]("svc/missing")
)

func finish(_ context.Context, s string) (saga.Step, error) { return saga.Finish(s), nil }

// resultOf waits for a run where it is carried out.
func resultOf(ctx context.Context, t *testing.T, r *router.Router, id string) error {
	t.Helper()
	run, err := saga.Find(ctx, r, id)
	require.NoError(t, err)
	return run.Result(ctx, nil)
}

// untouched checks that nothing was written but by what the test names.
func untouched(t *testing.T, r *router.Router, runs int) {
	t.Helper()
	found, err := r.Find(t.Context(), store.Query{Runs: &store.RunQuery{}})
	require.NoError(t, err)
	require.Len(t, found.Runs, runs)
	doctortest.Check(t, r.Store())
}

// L1
//
//semantics:stores sqlite
func TestNewSaysWhatIsWrongWithAURL(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("dir.db", 0o700))
	require.NoError(t, os.WriteFile("letter.txt", []byte(strings.Repeat("Dear all, ", 1000)), 0o600))
	for _, c := range []struct {
		config router.Config
		says   string
	}{
		{router.Config{Store: "millrace.db"}, `store URL "millrace.db" has no scheme; for example sqlite:///path/to/file.db`},
		{router.Config{Store: "mysql://u:secret@h/db"}, `unknown scheme "mysql"; linked: `},
		{router.Config{Store: "postgres://u:sec%ret@h/db"}, `store URL "postgres:..." is malformed`},
		{router.Config{Store: "sqlite:a.db?colour=red"}, `unknown setting "colour"`},
		{router.Config{Store: "sqlite:no/a.db"}, "/no does not exist"},
		{router.Config{Store: "sqlite:dir.db"}, "dir.db is a directory"},
		{router.Config{Store: "sqlite:letter.txt"}, "letter.txt is not an SQLite database"},
		{router.Config{Store: "memory:?size=1"}, "memory:"},
		{router.Config{Transport: "carrier-pigeon:"}, `transport URL "carrier-pigeon:": unknown scheme`},
		{router.Config{Transport: "amqp://u:sec%ret@h"}, `transport URL "amqp:..." is malformed`},
		{router.Config{Transport: "memory:?size=1"}, "open transport memory:?size=1: "},
	} {
		_, err := router.New(t.Context(), c.config)
		line := complaint(t, err)
		require.Contains(t, line, c.says)
		require.NotContains(t, line, "sec")
	}
	left, err := filepath.Glob("*")
	require.NoError(t, err)
	require.Equal(t, []string{"dir.db", "letter.txt"}, left, "no store was made")
}

// L1: nothing is run, and nothing was started before.
func TestTaskBoundTwice(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, known, finish)
		saga.Handle(r, known, finish)
		_, err := saga.Start(t.Context(), r, known, "x")
		require.Contains(t, complaint(t, err), "router: task svc/known is bound twice")
		require.Equal(t, "router: task svc/known is bound twice", complaint(t, r.Run(t.Context())))
		untouched(t, r, 0)
	})
}

func plain(*message.Message) ([]*message.Message, error) { return nil, nil }

// L1: all that is wrong is told at once, in one line.
func TestMistakesOfAProgram(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, saga.NewTask[int]("nameless"), func(context.Context, int) (saga.Step, error) { return nil, nil })
		saga.Handle(r, saga.NewTask[int]("~svc/internal"), func(context.Context, int) (saga.Step, error) { return nil, nil })
		r.AddHandler("one", "topic", "", plain)
		r.AddHandler("one", "other", "", plain)
		r.AddHandler("two", "topic", "", plain)
		line := complaint(t, r.Run(t.Context()))
		for _, says := range []string{
			`task "nameless" is not of the form service/task; `, `task "~svc/internal" is not of the form service/task; `,
			"handler one is added twice; ", "topic topic has two handlers: one and two",
		} {
			require.Contains(t, line, says)
		}
	})
}

// L1
func TestNothingToRun(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		require.Equal(t, "router: no handler is bound; nothing to run", complaint(t, r.Run(t.Context())))
	})
}

// L1
func TestTopicOfAService(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, known, finish)
		r.AddHandler("plain", "svc", "", plain)
		require.Contains(t, complaint(t, r.Run(t.Context())), "topic svc is a service's")
	})
}

// L5, L1
//
//semantics:stores sqlite
func TestHandleTxWithoutSQL(t *testing.T) {
	r, err := router.New(t.Context(), router.Config{Store: "memory:"})
	require.NoError(t, err)
	defer r.Close()
	saga.HandleTx(r, known, func(context.Context, *sql.Tx, string) (saga.Step, error) { return nil, nil })
	require.Contains(t, complaint(t, r.Run(t.Context())), "task svc/known is bound by saga.HandleTx, but the store memory: has no SQL")
}

// L1: a start that would be a dead letter ten minutes later.
func TestStartWithoutHandler(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		saga.Handle(r, known, finish)
		require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
			_, err := saga.Start(ctx, r, missing, "x", saga.ID("a"))
			require.ErrorIs(t, err, step.ErrUnknownTask)
			require.Equal(t, "start svc/missing as run a: no handler for this task: "+
				"this program runs service svc, but binds no handler to svc/missing (see saga.Handle)", complaint(t, err))
			err = saga.Enqueue(ctx, r, "", missing, "x")
			require.ErrorIs(t, err, step.ErrUnknownTask)
			require.Contains(t, complaint(t, err), "enqueue svc/missing: ")
			if db := r.DB(); db != nil {
				tx, err := db.BeginTx(ctx, nil)
				require.NoError(t, err)
				defer tx.Rollback()
				_, err = saga.StartTx(ctx, r, tx, missing, "x")
				require.ErrorIs(t, err, step.ErrUnknownTask)
			}
			return nil
		}))
		untouched(t, r, 0)
	})
}

// M6: what other programs start is taken in; F10: also for services that
// don't run here.
func TestStartForOtherPrograms(t *testing.T) {
	onStores(t, func(t *testing.T, r *router.Router) {
		starter, err := router.New(t.Context(), router.Config{Opened: r.Store()})
		require.NoError(t, err)
		saga.Handle(starter, saga.NewTask[string]("other/task"), finish)
		h, err := saga.Start(t.Context(), starter, known, "x")
		require.NoError(t, err)
		saga.Handle(r, known, finish)
		require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error { return resultOf(ctx, t, r, h.ID) }))
		untouched(t, r, 1)
	})
}

// M6: the grace for a task without a handler can be set.
func TestUnknownForIsASetting(t *testing.T) {
	onStores(t, func(t *testing.T, starter *router.Router) {
		h, err := saga.Start(t.Context(), starter, missing, "x", saga.OnDead(step.FailRun))
		require.NoError(t, err)
		r, err := router.New(t.Context(), router.Config{Opened: starter.Store(), UnknownFor: time.Millisecond})
		require.NoError(t, err)
		saga.Handle(r, known, finish)
		require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
			err := resultOf(ctx, t, r, h.ID)
			require.ErrorIs(t, err, saga.ErrFailed)
			require.ErrorContains(t, err, `no handler for this task: "svc/missing"`)
			return nil
		}))
		untouched(t, r, 1)
	})
}

// M7: limits are checked before anything is written.
func TestPayloadOverTheLimit(t *testing.T) {
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			r, err := router.New(t.Context(), router.Config{Store: url(t), PayloadLimit: 100})
			require.NoError(t, err)
			defer r.Close()
			grow := saga.NewTask[int]("svc/grow")
			saga.Handle(r, known, finish)
			saga.Handle(r, grow, func(_ context.Context, n int) (saga.Step, error) {
				return saga.Do(saga.Send(known, "small"), saga.Send(known, strings.Repeat("x", n))), nil
			})
			require.NoError(t, r.RunWhile(t.Context(), func(ctx context.Context) error {
				_, err := saga.Start(ctx, r, known, strings.Repeat("x", 200), saga.ID("a"))
				require.ErrorIs(t, err, step.ErrTooLarge)
				require.Equal(t, "start svc/known as run a: over the size limit: input has 202 bytes, limit 100", complaint(t, err))
				_, err = saga.Start(ctx, r, known, "x", saga.ID(strings.Repeat("i", 256)))
				require.ErrorIs(t, err, step.ErrTooLarge)
				require.Contains(t, complaint(t, err), "run id has 256 bytes, limit 255")
				err = saga.Enqueue(ctx, r, "", known, "fits", strings.Repeat("x", 200))
				require.ErrorIs(t, err, step.ErrTooLarge)
				untouched(t, r, 0)

				h, err := saga.Start(ctx, r, grow, 200, saga.OnDead(step.FailRun))
				require.NoError(t, err)
				require.ErrorContains(t, h.Result(ctx, nil), "over the size limit: payload for svc/known has 202 bytes, limit 100")
				return nil
			}))
			untouched(t, r, 1)
		})
	}
}

// L3
//
//semantics:stores sqlite
func TestMigrationIsExplicitOrAutomatic(t *testing.T) {
	url, no := stores["sqlite"](t), false
	_, err := router.New(t.Context(), router.Config{Store: url, Migrate: &no})
	require.ErrorIs(t, err, store.ErrSchema)
	require.Contains(t, complaint(t, err), "run millrace migrate")
	require.NoFileExists(t, strings.TrimPrefix(url, "sqlite://"))

	var all sync.WaitGroup // processes that begin at once
	for range 8 {
		all.Go(func() {
			r, err := router.New(context.WithoutCancel(t.Context()), router.Config{Store: url})
			if err != nil {
				t.Error(err)
				return
			}
			_, err = saga.Start(t.Context(), r, known, "x", saga.ID("the same"))
			if err != nil || r.Close() != nil {
				t.Error("start", err)
			}
		})
	}
	all.Wait()
	r, err := router.New(t.Context(), router.Config{Store: url, Migrate: &no})
	require.NoError(t, err)
	defer r.Close()
	untouched(t, r, 1)
}

// L3
//
//semantics:stores sqlite
func TestNewerSchemaIsRefused(t *testing.T) {
	url := stores["sqlite"](t)
	r, err := router.New(t.Context(), router.Config{Store: url})
	require.NoError(t, err)
	_, err = r.DB().Exec("UPDATE millrace_meta SET value = 77 WHERE name = 'schema'")
	require.NoError(t, err)
	require.NoError(t, r.Close())
	before, err := os.ReadFile(strings.TrimPrefix(url, "sqlite://"))
	require.NoError(t, err)

	_, err = router.New(t.Context(), router.Config{Store: url})
	require.ErrorIs(t, err, store.ErrSchema)
	require.Contains(t, complaint(t, err), "it has version 77, this program knows up to ")
	require.Contains(t, complaint(t, err), url)
	after, err := os.ReadFile(strings.TrimPrefix(url, "sqlite://"))
	require.NoError(t, err)
	require.Equal(t, before, after)
}
