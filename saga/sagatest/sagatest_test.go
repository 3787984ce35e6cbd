package sagatest_test

import (
	"testing"

	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each pair inside the process carries out all that docs/semantics.md says.
//
//semantics:pairs memory sqlite memory+memory
func TestPairs(t *testing.T) {
	pairtest.Run(t, "memory", "sqlite", "memory+memory")
}
