// Package examples_test runs the examples on all stores and brokers.
package examples_test

import (
	"go/build"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/examples/internal/clitest"
	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/internal/pairs/place"
)

// wanted are the pairs on which people will run a program like these.
var wanted = []pairs.Pair{
	{Store: "sqlite"}, {Store: "postgres"}, {Store: "postgres", Broker: "amqp"}, {Store: "postgres", Broker: "watermill-sql"},
	{Store: "redis"}, {Store: "redis", Broker: "redisstream"}, {Store: "redis", Broker: "amqp"},
}

// The same programs run on each of them, told by the environment alone, and
// report the same, byte for byte.
//
// L2
//
//semantics:pairs sqlite postgres redis postgres+amqp postgres+watermill-sql redis+redisstream redis+amqp
func TestExamplesRunUnchanged(t *testing.T) {
	folder := filepath.Join(build.Default.GOROOT, "src", "encoding")
	for _, e := range []struct {
		name, folder, service string
		args                  []string
	}{
		{"indexer", "./indexer", "indexer", []string{folder}},
		{"checkout", "./checkout", "checkout", []string{"-n", "60", "-decline", "0.2", "-silent", "0", "-deadline", "1h"}},
		{"checkout unpaid", "./checkout", "checkout", []string{"-n", "20", "-decline", "0", "-silent", "1", "-deadline", "50ms"}},
	} {
		t.Run(e.name, func(t *testing.T) {
			program := clitest.BuildPackage(t, e.folder)
			reports := map[string]string{}
			for _, p := range wanted {
				t.Run(p.String(), func(t *testing.T) {
					at := place.New(t, p)
					at.Note(e.service)
					there := program.In(t, "MILLRACE_STORE="+at.Store, "MILLRACE_TRANSPORT="+at.Transport)
					reports[p.String()] = there.Output(e.args...)
					require.Equal(t, reports[p.String()], there.Output(e.args...), "the same again when it is started again")
					at.NoteHome()
				})
			}
			for name, got := range reports {
				require.Equal(t, reports["sqlite"], got, name)
			}
			require.Len(t, reports, len(wanted))
		})
	}
}
