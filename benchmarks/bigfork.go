package main

import "context"

// bigfork measures one run that forks into n, joins all of them and does one
// more: how long it takes, and the most that Go's heap held.
func bigfork(ctx context.Context, b *bench) (line, error) {
	r, err := b.open(ctx)
	if err != nil {
		return line{}, err
	}
	defer r.close()
	rec := newRecord(1, b.n+2)
	first := fork(r, r.service, b.n, rec.enter)
	if err := r.start(ctx); err != nil {
		return line{}, err
	}
	before := occupied().heap
	var l line
	peak, err := peakOf(func() (err error) {
		l, err = r.drive(ctx, rec, first)
		return err
	})
	l.HeapMB = (peak - before) / megabyte
	return l, err
}
