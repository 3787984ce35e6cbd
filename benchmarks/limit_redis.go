package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed transitions.lua
var transitionsText string

var transitionsScript = redis.NewScript(transitionsText)

// redisLimit measures the server of the store, on one connection, on two and on
// eight: while it works for one, the others are on their way, and it brings to
// disk together what is ready together.
func redisLimit(ctx context.Context, b *bench) (float64, error) {
	best := 0.0
	for _, conns := range []int{1, 2, 8} {
		v, err := redisRate(ctx, b.store, conns, b.limitFor)
		if err != nil {
			return 0, fmt.Errorf("on %d connections: %w", conns, err)
		}
		best = max(best, v)
	}
	return best, nil
}

// redisRate makes transitions on so many connections for d, and returns how
// many of them there were in a second.
func redisRate(ctx context.Context, rawURL string, conns int, d time.Duration) (float64, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return 0, err
	}
	u.RawQuery = "" // for millrace
	o, err := redis.ParseURL(u.String())
	if err != nil {
		return 0, err
	}
	o.PoolSize, o.MaxRetries = conns, -1
	c := redis.NewClient(o)
	defer c.Close()
	name := "limit-" + token()
	defer func() { _ = unlinkAll(context.WithoutCancel(ctx), u.String(), name) }()
	if err := transitionsScript.Load(ctx, c).Err(); err != nil {
		return 0, err
	}
	done, errs := make([]int, conns), make([]error, conns)
	var all sync.WaitGroup
	begun := time.Now()
	for i := range conns {
		all.Go(func() { done[i], errs[i] = redisTransitions(ctx, c, fmt.Sprintf("%s:%d:", name, i), begun.Add(d)) })
	}
	all.Wait()
	took := time.Since(begun)
	total := 0
	for _, n := range done {
		total += n
	}
	return float64(total) / took.Seconds(), errors.Join(errs...)
}

// redisTransitions makes transitions until the time is up: each is a script,
// 100 to a pipeline. Each row that is written is sent, as with the other stores.
func redisTransitions(ctx context.Context, c *redis.Client, place string, until time.Time) (done int, err error) {
	body := strings.Repeat("x", rowSize)
	for time.Now().Before(until) {
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for range transitionsInTx {
				transitionsScript.EvalSha(ctx, p, []string{place}, done, rowsBefore/2, rowsBefore, body, body)
				done++
			}
			return nil
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}
