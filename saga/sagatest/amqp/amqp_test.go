// Package amqp_test runs the suite of sagas on the pairs with AMQP.
package amqp_test

import (
	"testing"

	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each pair with AMQP carries out all that docs/semantics.md says.
//
//semantics:pairs *+amqp
func TestPairs(t *testing.T) {
	pairtest.Run(t, "*+amqp")
}
