package main

import (
	"context"
	"fmt"
	"net/url"
)

// limits measure, by the scheme of a store's URL, the transitions in a second
// that the store does at most. A transition inserts a row of 200 bytes,
// updates one and deletes one, by integer keys, 100 to a transaction, or on Redis
// to a pipeline, by the store's own driver.
var limits = map[string]func(ctx context.Context, b *bench) (float64, error){
	"memory":     plainLimit,
	"sqlite":     sqliteLimit,
	"postgres":   postgresLimit,
	"postgresql": postgresLimit,
	"redis":      redisLimit,
	"rediss":     redisLimit,
}

const (
	transitionsInTx = 100
	rowSize         = 200
	rowsBefore      = 1000 // in the table, at any time
)

// limit measures the limit of the bench's store; 0 when none is known.
func limit(ctx context.Context, b *bench) (float64, error) {
	u, err := url.Parse(b.store)
	if err != nil {
		return 0, fmt.Errorf("store URL: %w", err)
	}
	measure := limits[u.Scheme]
	if measure == nil {
		return 0, nil
	}
	v, err := measure(ctx, b)
	if err != nil {
		return 0, fmt.Errorf("measure the limit: %w", err)
	}
	return v, nil
}

// overGoChannel is what a plain Router is measured on without a broker.
var overGoChannel = pair{"none", "gochannel"}

// plainLimit is that of a store that has no cost of its own: the steps in a
// second of a plain Router.
func plainLimit(ctx context.Context, b *bench) (float64, error) {
	n := min(max(b.n, 100), 20_000)
	l, err := plain(ctx, &bench{pair: overGoChannel, transport: overGoChannel.transport, n: n, clients: b.clients})
	return l.StepsPerS, err
}
