package sagatest_test

import (
	"testing"

	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each store, without a broker, carries out all that docs/semantics.md says.
//
//semantics:pairs memory sqlite postgres redis
func TestPairs(t *testing.T) {
	pairtest.Run(t, func(p pairs.Pair) bool { return p.Broker == "" })
}
