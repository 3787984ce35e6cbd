package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// native is how the way of messages is called that travel through the store.
const native = "native"

// pair is a store and what messages travel through: URLs as they were asked
// for. A transport that is native has no URL.
type pair struct{ store, transport string }

// matrix has the pairs that make sense.
var matrix = []pair{
	{"memory:", native}, {"sqlite:", native}, {"postgres:", native}, {"redis:", native},
	{"postgres:", "amqp:"}, {"postgres:", "redis:"}, {"postgres:", "watermill-sql:"},
	{"redis:", "redis:"}, {"redis:", "amqp:"},
	{"sqlite:", "memory:"}, {"sqlite:", "amqp:"},
}

func (p pair) String() string {
	return strings.TrimSuffix(p.store, ":") + " + " + strings.TrimSuffix(p.transport, ":")
}

// labelled is p as it may be told: without passwords.
func (p pair) labelled() pair { return pair{redacted(p.store), redacted(p.transport)} }

// brokered reports whether messages travel through a broker.
func (p pair) brokered() bool { return p.transport != native }

// scheme is that of a URL, or the word native.
func scheme(rawURL string) string {
	s, _, _ := strings.Cut(rawURL, ":")
	return s
}

// product has each store with each transport.
func product(stores, transports []string) []pair {
	var out []pair
	for _, s := range stores {
		for _, t := range transports {
			out = append(out, pair{s, t})
		}
	}
	return out
}

// within narrows pairs to those of the given stores and transports, by their
// schemes, and takes their URLs from there. An empty list narrows nothing.
func within(pairs []pair, stores, transports []string) []pair {
	var out []pair
	for _, p := range pairs {
		s, known := given(p.store, stores)
		t, also := given(p.transport, transports)
		if known && also {
			out = append(out, pair{s, t})
		}
	}
	return out
}

func given(rawURL string, list []string) (string, bool) {
	if len(list) == 0 {
		return rawURL, true
	}
	i := slices.IndexFunc(list, func(g string) bool { return scheme(g) == scheme(rawURL) })
	if i < 0 {
		return "", false
	}
	return list[i], true
}

func redacted(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "?"
	}
	return u.Redacted()
}

// checkMatrix refuses lists that leave nothing of the matrix.
func checkMatrix(pairs []pair) error {
	if len(pairs) > 0 {
		return nil
	}
	var all []string
	for _, p := range matrix {
		all = append(all, p.String())
	}
	return fmt.Errorf("no pair of the matrix is left; it has %s", strings.Join(all, ", "))
}
