package sagatest_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/saga/sagatest"
	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/store/sqlite"
	_ "github.com/millrace-go/millrace/transports/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//semantics:stores memory
func TestMemory(t *testing.T) {
	sagatest.Run(t, sagatest.Pair{Store: "memory", URL: func(dir string) string { return "memory:" + strings.ReplaceAll(dir, "/", "-") }})
}

//semantics:stores sqlite
func TestSQLite(t *testing.T) {
	sagatest.Run(t, sagatest.Pair{
		Store: "sqlite", SQL: true,
		URL: func(dir string) string { return "sqlite://" + dir + "/test.db" },
	})
}

//semantics:stores memory
func TestMemoryOverMemory(t *testing.T) {
	named := func(dir string) string { return "memory:" + strings.ReplaceAll(dir, "/", "-") }
	sagatest.Run(t, sagatest.Pair{Store: "memory", URL: named, Transport: named})
}
