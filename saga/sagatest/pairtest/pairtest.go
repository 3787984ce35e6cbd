// Package pairtest runs the suite of sagas on pairs of a store and a broker,
// each check in a place of its own on the servers that tests share. It is for
// tests only. The pairs are spread over test packages, which go test runs side by
// side and each within its own time limit: sagatest has those inside the process,
// sagatest/servers, sagatest/amqp and sagatest/brokers the others.
package pairtest

import (
	"flag"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/internal/pairs/place"
	"github.com/millrace-go/millrace/saga/sagatest"
)

// atOnce is how many checks run at a time, unless -parallel says otherwise:
// most of them wait for servers.
const atOnce = 8

// Main runs the tests of a package that runs the suite, and fails if any left a
// goroutine behind.
func Main(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce))
	}
	goleak.VerifyTestMain(m)
}

// Run runs the suite on the pairs of which a package takes care: those that match
// a pattern, see [pairs.Matching].
func Run(t *testing.T, patterns ...string) {
	for _, p := range pairs.All {
		ours := func(pattern string) bool { return slices.Contains(pairs.Matching(pattern), p.String()) }
		if slices.ContainsFunc(patterns, ours) {
			t.Run(p.String(), func(t *testing.T) { sagatest.Run(t, suite(p)) })
		}
	}
}

// suite is what the suite needs to know of a pair.
func suite(p pairs.Pair) sagatest.Pair {
	params := map[string]string{"sqlite": "?", "postgres": "$1"}
	return sagatest.Pair{
		Store: p.Store, Param: params[p.Store], Brokered: p.Broker != "",
		Place: func(t testing.TB) sagatest.Place {
			pl := place.New(t, p)
			return sagatest.Place{Store: pl.Store, Transport: pl.Transport, Note: pl.Note, Wipe: pl.Wipe}
		},
	}
}
