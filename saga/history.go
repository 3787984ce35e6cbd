package saga

import (
	"context"
	"fmt"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// History returns what happened to the run, oldest first. The chain of hashes
// is verified on the way: where it breaks the entries before are returned with
// an error that wraps step.ErrHistory and says at which one. The whole history
// is held in memory.
func (r Run) History(ctx context.Context) ([]step.Entry, error) {
	run, err := r.Status(ctx)
	if err != nil {
		return nil, err
	}
	// Full pages never change: with the row that was read before them they
	// are the history as of that row.
	pages := make([]step.PageRow, 0, run.Pages)
	for _, f := range step.Rows[step.PageRow](ctx, r.host.Find, store.Page, step.Owner(run.Key, "")) {
		if len(pages) == run.Pages {
			break
		}
		if f.Err != nil {
			return nil, fmt.Errorf("history of run %s: %w", r.ID, f.Err)
		}
		pages = append(pages, f.Row)
	}
	return step.Verify(run, pages)
}
