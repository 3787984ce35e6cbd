package redisstream

import (
	"context"

	"github.com/millrace-go/millrace/store"
)

// inServer is a store that lives in a Redis server. Server says which, and in
// which database of it.
type inServer interface {
	store.Publisher
	Server(ctx context.Context) (runID string, db int, err error)
}

// Attach implements [transports.Attacher]: a store in the same database of the
// same server adds to the streams in its own commits.
func (t *Transport) Attach(ctx context.Context, s store.Store) (inCommit bool, err error) {
	r, ok := s.(inServer)
	if !ok {
		return false, nil
	}
	runID, db, err := r.Server(ctx)
	if err != nil {
		return false, err
	}
	if runID == "" || runID != t.server.runID || db != t.server.db {
		return false, nil
	}
	r.PublishBy(t.statements)
	return true, nil
}

// statements makes the commands that publish.
func (t *Transport) statements(batch []store.Publication) ([]store.Statement, error) {
	out := make([]store.Statement, len(batch))
	for i, pub := range batch {
		values, err := fields(pub)
		if err != nil {
			return nil, err
		}
		out[i] = store.Statement{Text: "XADD", Args: append([]any{t.stream(pub.Topic), "*"}, values...)}
	}
	return out, nil
}
