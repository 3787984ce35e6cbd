package redisstream

import (
	"context"
	_ "embed"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/millrace-go/millrace/transports/inflight"
)

//go:embed scripts/giveback.lua
var giveBackText string

var giveBackScript = redis.NewScript(giveBackText)

// answer tells the group how messages ended, until life ends.
func (x *subscription) answer(life context.Context) {
	defer x.uninvolved(&x.flights)
	x.flights.Answer(life, inflight.Broker[string]{
		Acknowledge: unlessGone(x.finish), GiveBack: unlessGone(x.giveBack),
		Failed: func(err error) { x.fail(&x.flights, err) }, Worked: func() { x.worked(&x.flights) },
	})
}

// unlessGone takes it for done where the stream or its group is gone.
func unlessGone(tell func(context.Context, []string) error) func(context.Context, []string) error {
	return func(ctx context.Context, ids []string) error {
		if err := tell(ctx, ids); !gone(err) {
			return err
		}
		return nil
	}
}

// finish acknowledges entries and deletes them, both or neither.
func (x *subscription) finish(ctx context.Context, ids []string) error {
	if x.t.cfg.Keep {
		return x.t.client.XAck(ctx, x.stream, x.group, ids...).Err()
	}
	_, err := x.t.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, x.stream, x.group, ids...)
		p.XDel(ctx, x.stream, ids...)
		return nil
	})
	return err
}

// giveBack lets others have entries. Where the stream is read by other groups
// too, they stay in their place, and are marked as left alone for long.
func (x *subscription) giveBack(ctx context.Context, ids []string) error {
	if x.t.cfg.Keep {
		args := []any{"XCLAIM", x.stream, x.group, x.consumer, 0}
		for _, id := range ids {
			args = append(args, id)
		}
		args = append(args, "IDLE", (2 * x.t.cfg.ClaimAfter).Milliseconds(), "JUSTID")
		return x.t.client.Do(ctx, args...).Err()
	}
	args := []any{x.group, x.consumer, uuidField}
	slices.Sort(ids) // about in the order in which they came
	for _, id := range ids {
		args = append(args, id)
	}
	return giveBackScript.Run(ctx, x.t.client, []string{x.stream}, args...).Err()
}
