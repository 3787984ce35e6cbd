package step

import (
	"context"
	"fmt"
	"iter"

	"github.com/millrace-go/millrace/store"
)

// Finder lists rows: the method Find of a store.
type Finder func(context.Context, store.Query) (store.Found, error)

// Found is a decoded row, or the error that ended the listing.
type Found[T any] struct {
	Row T
	Err error
}

// Rows pages through the rows of one owner, in the order of their names.
func Rows[T any](ctx context.Context, find Finder, kind store.RowKind, owner string) iter.Seq2[store.RowKey, Found[T]] {
	return func(yield func(store.RowKey, Found[T]) bool) {
		q := store.RowQuery{Kind: kind, Owner: owner}
		for {
			page, err := find(ctx, store.Query{Rows: &q, Limit: 200})
			if err != nil {
				yield(store.RowKey{}, Found[T]{Err: fmt.Errorf("list %s rows: %w", kind, err)})
				return
			}
			for _, row := range page.Rows {
				q.After = row.Name
				var f Found[T]
				f.Err = store.Unmarshal(row.Body, &f.Row)
				if !yield(row.RowKey, f) {
					return
				}
			}
			if !page.More {
				return
			}
		}
	}
}

// ReadRow returns one decoded row. The error wraps store.ErrNotFound when
// there is none.
func ReadRow[T any](ctx context.Context, find Finder, key store.RowKey) (row T, err error) {
	page, err := find(ctx, store.Query{Rows: &store.RowQuery{Key: &key}, Limit: 1})
	switch {
	case err != nil:
		return row, fmt.Errorf("read row %s: %w", key, err)
	case len(page.Rows) == 0:
		return row, fmt.Errorf("row %s: %w", key, store.ErrNotFound)
	}
	return row, store.Unmarshal(page.Rows[0].Body, &row)
}
