// Package brokers_test runs the suite of sagas on the pairs with a broker other
// than AMQP.
package brokers_test

import (
	"testing"

	"github.com/millrace-go/millrace/saga/sagatest/pairtest"
)

func TestMain(m *testing.M) { pairtest.Main(m) }

// Each of these pairs carries out all that docs/semantics.md says.
//
//semantics:pairs *+redisstream *+watermill-sql
func TestPairs(t *testing.T) {
	pairtest.Run(t, "*+redisstream", "*+watermill-sql")
}
