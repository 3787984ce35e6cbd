package store

import "errors"

var (
	// ErrUnknown says that the answer to a commit was lost: it took effect or
	// it did not. Calling again with the same outcomes settles it, since the
	// core finds what was stored by its ids.
	ErrUnknown = errors.New("outcome of the commit is unknown")

	// ErrLeaseLost says that the worker was closed: it holds nothing any more.
	ErrLeaseLost = errors.New("lease lost")

	// ErrCorrupt says that a stored row does not decode.
	ErrCorrupt = errors.New("stored row is damaged")

	// ErrSchema says that the database has no schema, an older one that must
	// be migrated, or a newer one than this program knows.
	ErrSchema = errors.New("database schema does not fit this program")

	// ErrUnavailable says that the store can't be reached or written to now.
	ErrUnavailable = errors.New("store is unavailable")

	// ErrClosed says that the store was closed by its owner.
	ErrClosed = errors.New("store is closed")

	// ErrNotFound says that there is no such run, message or dead letter.
	ErrNotFound = errors.New("not found")
)
