// Package brokers_test runs the suite of sagas on each pair with a broker.
package brokers_test

import (
	"testing"

	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/saga/sagatest"
	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each pair with a broker carries out all that docs/semantics.md says.
//
//semantics:pairs *+*
func TestPairs(t *testing.T) {
	for _, p := range pairs.All {
		if p.Broker != "" {
			t.Run(p.String(), func(t *testing.T) { sagatest.Run(t, pairtest.Suite(p)) })
		}
	}
}
