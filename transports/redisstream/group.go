package redisstream

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed scripts/keep.lua
	keepText string
	//go:embed scripts/leave.lua
	leaveText string

	keepScript  = redis.NewScript(keepText)
	leaveScript = redis.NewScript(leaveText)
)

// join makes the stream and the group, unless they are there. made reports
// that it did. The group begins with the first entry: nothing that was
// published before is missed.
func (x *subscription) join(ctx context.Context) (made bool, err error) {
	err = x.t.client.XGroupCreateMkStream(ctx, x.stream, x.group, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return false, nil
	}
	return err == nil, err
}

// tend tells the group at intervals that what is in flight still is, and
// removes consumers that are gone, until life ends.
func (x *subscription) tend(life context.Context) {
	ticker := time.NewTicker(x.claimEvery())
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-ticker.C:
		case <-life.Done():
			return
		}
		_ = x.keep(life) // tried again in time
		if round%4 == 0 {
			_ = x.sweep(life) // done again later, by others too
		}
	}
}

// keep keeps what is in flight from being claimed.
func (x *subscription) keep(ctx context.Context) error {
	for ids := range slices.Chunk(x.flights.Known(), chunk) {
		args := []any{x.group, x.consumer}
		for _, id := range ids {
			args = append(args, id)
		}
		if err := keepScript.Run(ctx, x.t.client, []string{x.stream}, args...).Err(); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes consumers of processes that died. One that lives and was only
// idle comes into being again with its next read.
func (x *subscription) sweep(ctx context.Context) error {
	all, err := x.t.client.XInfoConsumers(ctx, x.stream, x.group).Result()
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Pending > 0 || c.Idle < 2*x.t.cfg.ClaimAfter || !strings.HasPrefix(c.Name, consumers) {
			continue
		}
		if err := leaveScript.Run(ctx, x.t.client, []string{x.stream}, x.group, c.Name).Err(); err != nil {
			return err
		}
	}
	return nil
}

// leave gives back whatever the group says that this consumer still has, and
// removes the consumer. When the server can't be reached, others do that
// later.
func (x *subscription) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if x.t.link.Down() {
		return
	}
	pending, err := x.t.client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: x.stream, Group: x.group, Start: "-", End: "+", Count: chunk, Consumer: x.consumer,
	}).Result()
	if err == nil && len(pending) > 0 {
		ids := make([]string, len(pending))
		for i, p := range pending {
			ids[i] = p.ID
		}
		err = x.giveBack(ctx, ids)
	}
	if err == nil {
		err = leaveScript.Run(ctx, x.t.client, []string{x.stream}, x.group, x.consumer).Err()
	}
	if err != nil && !gone(err) {
		x.log.Warn("millrace: redis streams: a consumer could not leave its group; others take over what it had", "consumer", x.consumer, "error", err)
	}
}
