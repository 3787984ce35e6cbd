// Package linked keeps what a program has linked by import under the schemes
// of URLs: drivers of stores and brokers.
package linked

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Set is what is linked of one kind. It is safe for concurrent use.
type Set[T any] struct {
	Kind    string            // "store", "transport": for errors
	Example string            // a URL, for the error when there is no scheme
	Imports map[string]string // by scheme: what this module has, for the error when it is missing

	mu sync.RWMutex
	by map[string]T
}

// Add links v under a scheme. A scheme that is taken is a mistake of the
// program's, and panics.
func (s *Set[T]) Add(scheme string, v T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, dup := s.by[scheme]; dup {
		panic(fmt.Sprintf("%s scheme registered twice: %s", s.Kind, scheme))
	}
	if s.by == nil {
		s.by = map[string]T{}
	}
	s.by[scheme] = v
}

// Find returns what is linked for a URL. No error tells a password.
func (s *Set[T]) Find(rawURL string) (v T, u *url.URL, err error) {
	u, err = url.Parse(rawURL)
	if err != nil { // which holds the URL, and so perhaps a password
		scheme, _, _ := strings.Cut(rawURL, ":")
		return v, nil, fmt.Errorf("%s URL %q is malformed; special characters in it must be written as %%XX", s.Kind, scheme+":...")
	}
	if u.Scheme == "" {
		return v, nil, fmt.Errorf("%s URL %q has no scheme; for example %s", s.Kind, u.Redacted(), s.Example)
	}
	s.mu.RLock()
	v, ok := s.by[u.Scheme]
	s.mu.RUnlock()
	if !ok {
		return v, nil, fmt.Errorf("%s URL %q: %s", s.Kind, u.Redacted(), s.missing(u.Scheme))
	}
	return v, u, nil
}

func (s *Set[T]) missing(scheme string) string {
	if path, ok := s.Imports[scheme]; ok {
		return fmt.Sprintf("no %s for %q is linked; add: import _ %q", s.Kind, scheme, path)
	}
	return fmt.Sprintf("unknown scheme %q; linked: %s", scheme, strings.Join(s.Schemes(), ", "))
}

// Schemes lists what is linked, sorted.
func (s *Set[T]) Schemes() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.by))
}
