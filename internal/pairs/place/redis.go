package place

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// piece is how many keys are looked at in one go.
const piece = 10_000

// forget deletes the place's keys when the test has ended.
func (pl *Place) forget(server string) {
	pl.t.Cleanup(func() {
		if err := unlink(server, "*"+pl.name+"*"); err != nil {
			pl.t.Fatalf("delete keys: %v", err)
		}
	})
}

// unlink deletes the keys that match a pattern of Redis.
func unlink(server, pattern string) error {
	return onRedis(server, func(ctx context.Context, c *redis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := c.Scan(ctx, cursor, pattern, piece).Result()
			if err == nil && len(keys) > 0 {
				err = c.Unlink(ctx, keys...).Err()
			}
			if cursor = next; err != nil || cursor == 0 {
				return err
			}
		}
	})
}

func onRedis(server string, do func(context.Context, *redis.Client) error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o, err := redis.ParseURL(server)
	if err != nil {
		return err
	}
	c := redis.NewClient(o)
	defer func() { err = errors.Join(err, c.Close()) }()
	return do(ctx, c)
}
