// Package pairs lists the pairs of a store and a broker on which everything in
// docs/semantics.md is shown to hold. The suite of sagas runs on each of them,
// make semantics has a column for each, and the README's table a row.
package pairs

import "path"

// Pair is a store, and what messages travel through.
type Pair struct {
	Store  string // name of the store: "memory", "sqlite", "postgres", "redis"
	Broker string // name of the transport; "": through the store itself
}

// All are the pairs, in the order in which they are shown.
var All = []Pair{
	{"memory", ""},
	{"sqlite", ""},
	{"postgres", ""},
	{"redis", ""},
	{"memory", "memory"},
	{"sqlite", "amqp"},
	{"postgres", "amqp"},
	{"postgres", "redisstream"},
	{"postgres", "watermill-sql"},
	{"redis", "redisstream"},
	{"redis", "amqp"},
}

// String returns the name of the pair, such as "postgres+amqp", or that of its
// store when there is no broker.
func (p Pair) String() string {
	if p.Broker == "" {
		return p.Store
	}
	return p.Store + "+" + p.Broker
}

// HasSQL reports whether the store has SQL, so that its commits can be part of
// a caller's transaction.
func (p Pair) HasSQL() bool { return p.Store == "sqlite" || p.Store == "postgres" }

// Matching returns the names of the pairs that match a pattern of path.Match:
// "sqlite", "postgres*", or "*+*" for all with a broker.
func Matching(pattern string) (names []string) {
	for _, p := range All {
		if ok, err := path.Match(pattern, p.String()); ok && err == nil {
			names = append(names, p.String())
		}
	}
	return names
}
