package redisstream

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// inlet is where entries come in: those that are new, those that others have
// left, and those that were sent here in an answer that got lost. It belongs
// to one goroutine.
type inlet struct {
	x      *subscription
	claims time.Duration // how often to look for what others have left

	conn    *redis.Conn
	connID  int64
	lost    bool   // an answer may have been lost
	after   string // where to go on looking for what it said
	claimed time.Time
}

// next returns up to so many entries. It waits for them for a bounded time,
// and returns none when none came.
func (in *inlet) next(ctx context.Context, limit int) ([]redis.XMessage, error) {
	entries, err := in.look(ctx, limit)
	if err != nil {
		in.close()
		in.lost, in.after = true, "0"
	}
	return entries, err
}

func (in *inlet) look(ctx context.Context, limit int) ([]redis.XMessage, error) {
	if in.lost {
		return in.again(ctx, limit)
	}
	if time.Since(in.claimed) >= in.claims {
		if entries, err := in.claim(ctx, limit); err != nil || len(entries) > 0 {
			return entries, err
		}
		in.claimed = time.Now()
	}
	block := min(in.claims, 5*time.Second)
	return in.read(ctx, ">", limit, max(block, time.Millisecond))
}

// again reads what the group says that this consumer has.
func (in *inlet) again(ctx context.Context, limit int) ([]redis.XMessage, error) {
	entries, err := in.read(ctx, in.after, limit, -1)
	switch {
	case err != nil:
		return nil, err
	case len(entries) == 0:
		in.lost = false
	default:
		in.after = entries[len(entries)-1].ID
	}
	return entries, nil
}

// claim takes over what nobody has worked on for Config.ClaimAfter.
func (in *inlet) claim(ctx context.Context, limit int) ([]redis.XMessage, error) {
	x, idle := in.x, in.x.t.cfg.ClaimAfter
	pending, err := x.t.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: x.stream, Group: x.group, Idle: idle, Start: "-", End: "+", Count: int64(limit),
	}).Result()
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range pending {
		if p.Consumer != x.consumer || !x.flights.Knows(p.ID) {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	return x.t.client.XClaim(ctx, &redis.XClaimArgs{
		Stream: x.stream, Group: x.group, Consumer: x.consumer, MinIdle: idle, Messages: ids,
	}).Result()
}

// read reads from the stream, by a connection that serves nothing else.
func (in *inlet) read(ctx context.Context, from string, limit int, block time.Duration) ([]redis.XMessage, error) {
	if err := in.open(ctx); err != nil {
		return nil, err
	}
	x := in.x
	x.reading.Store(in.connID)
	defer x.reading.Store(0)
	if ctx.Err() != nil {
		return nil, nil
	}
	streams, err := in.conn.XReadGroup(context.WithoutCancel(ctx), &redis.XReadGroupArgs{
		Group: x.group, Consumer: x.consumer, Streams: []string{x.stream, from}, Count: int64(limit), Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

func (in *inlet) open(ctx context.Context) error {
	if in.conn != nil {
		return nil
	}
	in.conn = in.x.t.readers.Conn()
	id, err := in.conn.ClientID(ctx).Result()
	if err != nil {
		in.close()
		return err
	}
	in.connID = id
	return nil
}

func (in *inlet) close() {
	if in.conn != nil {
		_ = in.conn.Close() // it goes back to the pool, or is dropped if it failed
		in.conn = nil
	}
}

// unblock ends a read that waits, once ctx has ended, until all is quiet: the
// server could otherwise hand messages to a subscription that has ended.
func (x *subscription) unblock(ctx context.Context, quiet <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-quiet:
		return
	}
	for {
		if id := x.reading.Load(); id != 0 {
			call, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = x.t.client.ClientUnblock(call, id).Err() // tried again
			cancel()
		}
		again := time.NewTimer(10 * time.Millisecond)
		select {
		case <-again.C:
		case <-quiet:
			again.Stop()
			return
		}
	}
}
