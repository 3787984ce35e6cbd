package store

import (
	"context"
	"fmt"
	"net/url"

	"github.com/millrace-go/millrace/internal/linked"
)

// Opener opens the store that a URL names.
type Opener func(ctx context.Context, u *url.URL, o Options) (Store, error)

var drivers = linked.Set[Opener]{
	Kind: "store", Example: "sqlite:///path/to/file.db",
	Imports: map[string]string{
		"memory":     "github.com/millrace-go/millrace/store/memory",
		"sqlite":     "github.com/millrace-go/millrace/store/sqlite",
		"postgres":   "github.com/millrace-go/millrace/store/postgres",
		"postgresql": "github.com/millrace-go/millrace/store/postgres",
		"redis":      "github.com/millrace-go/millrace/store/redis",
		"rediss":     "github.com/millrace-go/millrace/store/redis",
	},
}

// Register makes a driver known under a URL scheme; drivers call it from
// their init. Registering a scheme twice panics.
func Register(scheme string, o Opener) { drivers.Add(scheme, o) }

// Schemes lists the URL schemes of the linked drivers, sorted.
func Schemes() []string { return drivers.Schemes() }

// Open opens the store that rawURL names, by the driver of its scheme, and
// checks that it can be used. The caller closes it.
func Open(ctx context.Context, rawURL string, o Options) (Store, error) {
	open, u, err := drivers.Find(rawURL)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, u, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", u.Redacted(), err)
	}
	return s, nil
}
