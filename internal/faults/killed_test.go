package faults

import (
	"testing"

	"github.com/millrace-go/millrace/internal/servers"
)

// A server is killed while everybody works, and started again on its data.
//
// M1, M2, M4, M9, M11, F1, F2, T1, R5, C1, C2
//
//semantics:stores postgres redis sqlite
func TestServerIsKilled(t *testing.T) {
	for scheme, start := range map[string]func(servers.T, ...string) *servers.Private{
		"redis": servers.StartRedis, "amqp": servers.StartAMQP, "postgres": servers.StartPostgres,
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			pl := shared(t).with(scheme, server.URL())
			var loads []*load
			for _, p := range pairs {
				if p.needs(scheme) {
					loads = append(loads, pl.site(t, p).open(t, 2, nil).run().feed())
				}
			}
			for range times(1, 10) {
				for _, l := range loads {
					l.progress(3)
				}
				server.Kill()
				server.Start()
			}
			for _, l := range loads {
				l.progress(3)
			}
			finishAll(loads)
		})
	}
}
