package store

import (
	"context"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"sync"
)

// Opener opens the store that a URL names.
type Opener func(ctx context.Context, u *url.URL, o Options) (Store, error)

var (
	openersMu sync.RWMutex
	openers   = map[string]Opener{}
)

// Register makes a driver known under a URL scheme; drivers call it from
// their init. Registering a scheme twice panics.
func Register(scheme string, o Opener) {
	openersMu.Lock()
	defer openersMu.Unlock()
	if _, dup := openers[scheme]; dup {
		panic("store: scheme registered twice: " + scheme)
	}
	openers[scheme] = o
}

// imports of the drivers of this module, for the error when one is missing.
var imports = map[string]string{
	"memory": "github.com/millrace-go/millrace/store/memory",
	"sqlite": "github.com/millrace-go/millrace/store/sqlite",
}

// Open opens the store that rawURL names, by the driver of its scheme, and
// checks that it can be used. The caller closes it.
func Open(ctx context.Context, rawURL string, o Options) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil { // which holds the URL, and so perhaps a password
		scheme, _, _ := strings.Cut(rawURL, ":")
		return nil, fmt.Errorf("store URL %q is malformed; special characters in it must be written as %%XX", scheme+":...")
	}
	if u.Scheme == "" {
		return nil, fmt.Errorf("store URL %q has no scheme; for example sqlite:///path/to/file.db", u.Redacted())
	}
	openersMu.RLock()
	open := openers[u.Scheme]
	openersMu.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("store URL %q: %s", u.Redacted(), missing(u.Scheme))
	}
	s, err := open(ctx, u, o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", u.Redacted(), err)
	}
	return s, nil
}

func missing(scheme string) string {
	if path, ok := imports[scheme]; ok {
		return fmt.Sprintf("no driver for %q is linked; add: import _ %q", scheme, path)
	}
	return fmt.Sprintf("unknown scheme %q; linked drivers: %s", scheme, strings.Join(Schemes(), ", "))
}

// Schemes lists the URL schemes of the linked drivers.
func Schemes() []string {
	openersMu.RLock()
	defer openersMu.RUnlock()
	names := make([]string, 0, len(openers))
	for s := range openers {
		names = append(names, s)
	}
	sort.Strings(names)
	return names
}
