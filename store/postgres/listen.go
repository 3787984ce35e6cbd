package postgres

import (
	"fmt"

	"github.com/lib/pq"

	"github.com/millrace-go/millrace/store"
)

// Listen opens a connection of its own on which the server tells what is
// notified on a channel, for a transport that works in the same database. It
// closes notes when the connection breaks; the caller closes the connection.
// Errors: store.ErrUnavailable, store.ErrClosed.
func (s *Store) Listen(channel string, notes chan *pq.Notification) (*pq.ListenerConn, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, explain("listen", store.ErrClosed)
	}
	conn, err := pq.NewListenerConn(s.listenDSN(), notes)
	if err != nil {
		return nil, explain("listen", fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	}
	if _, err := conn.Listen(channel); err != nil {
		_ = conn.Close()
		return nil, explain("listen", fmt.Errorf("%w: %w", store.ErrUnavailable, err))
	}
	return conn, nil
}
