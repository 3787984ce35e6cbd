package redis

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// layout is the version of how rows are laid out in keys.
const layout = 1

// Migrate implements [store.Migrator]. A store is made in one step; so far
// there is but one layout.
func (s *Store) Migrate(ctx context.Context) (from, to int, err error) {
	leave, err := s.enter(ctx, "migrate")
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	from, to, err = s.found(ctx, true)
	return from, to, explain("migrate", err)
}

// found finds the store, or makes it. A version of 0 is no store.
func (s *Store) found(ctx context.Context, make bool) (from, to int, err error) {
	may := "0"
	if make {
		may = "1"
	}
	got, err := s.eval(ctx, foundScript, []any{rand.Text(), layout, may})
	if err != nil {
		return 0, 0, err
	}
	list, _ := got.([]any)
	a := answers{list: list}
	name, _ := a.text()
	from, to = int(a.number()), int(a.number())
	if to > layout {
		return from, to, fmt.Errorf("%w: the store has layout %d, this program knows %d; use a newer one", store.ErrSchema, to, layout)
	}
	if s.name == "" {
		s.name = name
	}
	if name != s.name {
		return from, to, fmt.Errorf("%w: the store was emptied or replaced since it was opened", store.ErrSchema)
	}
	return from, to, nil
}
