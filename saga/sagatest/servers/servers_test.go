// Package servers_test runs the suite of sagas on the stores that are servers,
// without a broker.
package servers_test

import (
	"testing"

	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each store that is a server carries out all that docs/semantics.md says.
//
//semantics:pairs postgres redis
func TestPairs(t *testing.T) {
	pairtest.Run(t, "postgres", "redis")
}
