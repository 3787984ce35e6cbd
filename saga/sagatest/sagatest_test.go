package sagatest_test

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

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce))
	}
	goleak.VerifyTestMain(m)
}

// Each pair carries out all that docs/semantics.md says.
//
//semantics:pairs *
func TestPairs(t *testing.T) {
	for _, p := range pairs.All {
		t.Run(p.String(), func(t *testing.T) { sagatest.Run(t, suiteOf(p)) })
	}
}

func suiteOf(p pairs.Pair) sagatest.Pair {
	params := map[string]string{"sqlite": "?", "postgres": "$1"}
	return sagatest.Pair{
		Store: p.Store, Param: params[p.Store], Brokered: p.Broker != "",
		Place: func(t testing.TB) sagatest.Place {
			pl := place.New(t, p)
			return sagatest.Place{Store: pl.Store, Transport: pl.Transport, Note: pl.Note, Wipe: pl.Wipe}
		},
	}
}
