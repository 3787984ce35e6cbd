package sagatest

import (
	"bytes"
	"context"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

var opaqueChecks = []check{
	{"payloads, events and results arrive as they were", opaqueBytes},
	{"names are text, executed by nobody", opaqueNames},
	{"what is over a limit is refused, and nothing is written", limitsAtStart},
	{"a step over a limit is a dead letter, and nothing of it is written", limitsOfStep},
}

// raw is a codec that leaves []byte as they are.
type raw struct{ saga.JSON }

func (c raw) Marshal(v any) ([]byte, error) {
	if b, ok := v.([]byte); ok {
		return b, nil
	}
	return c.JSON.Marshal(v)
}

func (c raw) Unmarshal(data []byte, v any) error {
	if b, ok := v.(*[]byte); ok {
		*b = append([]byte(nil), data...)
		return nil
	}
	return c.JSON.Unmarshal(data, v)
}

// nasty is what nobody may stumble over, or execute.
var nasty = [][]byte{
	[]byte(`'); DROP TABLE millrace_messages; --`), []byte("redis.call('FLUSHALL')"), []byte("a\x00b\r\n\"'`\\"),
	{0xff, 0xfe, 0, 0x80}, []byte("日本語 \U0001F9F5"), {}, bytes.Repeat([]byte{0}, 1000),
}

// M7
func opaqueBytes(x *fixture) {
	n := x.node(func(c *router.Config) { c.Codec = raw{} })
	a, b := saga.NewTask[[]byte]("svc/a"), saga.NewTask[[]byte]("svc/b")
	end := saga.NewTask[saga.Joined[[]byte]]("svc/end")
	ev := saga.NewEvent[[]byte]("ev'\"\n--")
	saga.Handle(n, a, func(_ context.Context, v []byte) (saga.Step, error) {
		return saga.Do(saga.Send(b, v), saga.Join(saga.All(ev), end, v)), nil
	})
	saga.Handle(n, b, func(_ context.Context, v []byte) (saga.Step, error) { return saga.Emit(ev, v), nil })
	saga.Handle(n, end, func(ctx context.Context, j saga.Joined[[]byte]) (saga.Step, error) {
		v, _, _, err := ev.From(ctx, j.Events)
		if !bytes.Equal(v, j.Data) {
			return saga.Fail("the event's data differs"), nil
		}
		return saga.Finish(v), err
	})
	n.run()
	for _, v := range nasty {
		r := start(n, a, v)
		require.NoError(x, r.Result(x.ctx, nil))
		require.True(x, bytes.Equal(v, x.row(r).Result), "%q", v)
	}
}

// M7
func opaqueNames(x *fixture) {
	n := x.node(nil)
	for _, name := range []string{"svc'; DROP TABLE millrace_runs; --/t", "svc\n\"/t'\\", "ünï/日本", "svc/" + strings.Repeat("n", 250)} {
		task := saga.NewTask[string](name)
		saga.Handle(n, task, func(ctx context.Context, v string) (saga.Step, error) { return saga.Finish(saga.RunID(ctx)), nil })
	}
	n.run()
	for _, name := range []string{"svc'; DROP TABLE millrace_runs; --/t", "svc\n\"/t'\\", "ünï/日本", "svc/" + strings.Repeat("n", 250)} {
		id := "id of " + name[:5] + "';--\n"
		r := start(n, saga.NewTask[string](name), "v", saga.ID(id), saga.Meta("k'\n", "v\x00"))
		require.Equal(x, id, result[string](x, r))
	}
}

// M7
func limitsAtStart(x *fixture) {
	n := x.node(func(c *router.Config) { c.PayloadLimit = 100 })
	task := saga.NewTask[string]("svc/task")
	for what, try := range map[string]func() error{
		"payload": func() error { _, err := saga.Start(x.ctx, n.Router, task, strings.Repeat("x", 99)); return err },
		"id": func() error {
			_, err := saga.Start(x.ctx, n.Router, task, "", saga.ID(strings.Repeat("i", 256)))
			return err
		},
		"task": func() error {
			_, err := saga.Start(x.ctx, n.Router, saga.NewTask[string]("svc/"+strings.Repeat("t", 252)), "")
			return err
		},
		"job": func() error {
			return saga.Enqueue(x.ctx, n.Router, "", task, "fits", strings.Repeat("x", 99))
		},
	} {
		require.ErrorIs(x, try(), step.ErrTooLarge, what)
	}
	_, err := saga.Start(x.ctx, n.Router, saga.NewTask[string]("no slash"), "")
	require.ErrorIs(x, err, step.ErrBadName)
	_, err = saga.Start(x.ctx, n.Router, task, "", saga.ID("nul\x00"))
	require.ErrorIs(x, err, step.ErrBadName)
	require.Empty(x, x.messages())
	require.Zero(x, x.counters())
	start(n, task, strings.Repeat("x", 98))
}

// M7, F1
func limitsOfStep(x *fixture) {
	n := x.node(func(c *router.Config) { c.PayloadLimit = 100 })
	a, b := saga.NewTask[int]("svc/a"), saga.NewTask[string]("svc/b")
	ev := saga.NewEvent[string]("ev")
	large := strings.Repeat("x", 101)
	steps := []saga.Step{
		saga.Send(b, large), saga.Emit(ev, large), saga.Finish(large), saga.Undo(b, large), saga.Record("r", large),
		saga.Emit(saga.NewEvent[string](strings.Repeat("e", 256)), ""), saga.Send(b, "").Named("nul\x00"),
		saga.Fork(b, "", large),
	}
	saga.Handle(n, a, func(_ context.Context, i int) (saga.Step, error) {
		return saga.Do(saga.Send(b, "fits"), steps[i]), nil
	})
	saga.Handle(n, b, func(context.Context, string) (saga.Step, error) { return nil, nil })
	n.run()
	for i := range steps {
		start(n, a, i)
	}
	x.until("dead letters", func() bool { return len(rows[step.DeadRow](x, store.Dead)) == len(steps) })
	require.Equal(x, step.CounterRow{Accepted: int64(len(steps)), Dead: int64(len(steps))}, x.counters())
	for _, letter := range rows[step.DeadRow](x, store.Dead) {
		require.Equal(x, 1, letter.Message.Attempt, letter.Reason)
	}
}
