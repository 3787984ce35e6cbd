// Package pairtest runs the suite of sagas on pairs of a store and a broker,
// each check in a place of its own on the servers that tests share. It is for
// tests only. The pairs are spread over two test packages, which go test runs
// side by side: sagatest has the stores alone, sagatest/brokers the rest.
package pairtest

import (
	"flag"
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

// Suite is what the suite needs to know of a pair.
func Suite(p pairs.Pair) sagatest.Pair {
	params := map[string]string{"sqlite": "?", "postgres": "$1"}
	return sagatest.Pair{
		Store: p.Store, Param: params[p.Store], Brokered: p.Broker != "",
		Place: func(t testing.TB) sagatest.Place {
			pl := place.New(t, p)
			return sagatest.Place{Store: pl.Store, Transport: pl.Transport, Note: pl.Note, Wipe: pl.Wipe}
		},
	}
}
