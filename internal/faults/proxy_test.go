package faults

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
)

// link is a network between routers and a server, which can be made to fail.
type link struct {
	t     testing.TB
	proxy *toxiproxy.Proxy
}

// linkTo makes the routers of u's server go through a link.
func linkTo(t testing.TB, u *url.URL) *link {
	t.Helper()
	quiet := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(servers.Port(t)))
	l := &link{t: t, proxy: toxiproxy.NewProxy(server, u.Scheme, addr, u.Host)}
	u.Host = addr
	l.mend()
	t.Cleanup(l.cut)
	return l
}

// cut refuses new connections and ends those that are there.
func (l *link) cut() { l.proxy.Stop() }

// mend undoes cut.
func (l *link) mend() {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Start())
}

// toxic is what can be wrong with a link, in one direction.
type toxic struct {
	kind       string // of toxiproxy
	direction  string // "upstream": to the server; "downstream": to the client
	attributes string // JSON
}

func (x toxic) String() string { return x.kind + " " + x.direction }

// add makes the link bad.
func (l *link) add(x toxic) {
	l.t.Helper()
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": %q, "type": %q, "stream": %q, "attributes": %s}`, x, x.kind, x.direction, x.attributes)))
	require.NoError(l.t, err)
}

// remove makes it good again.
func (l *link) remove(x toxic) {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Toxics.RemoveToxic(context.Background(), x.String()))
}

// linked makes the routers of a site reach its servers by links: the store's,
// and the broker's. One that there is no server for is nil.
func (s *site) linked(t testing.TB) (toStore, toBroker *link) {
	t.Helper()
	if s.store.Host != "" {
		toStore = linkTo(t, s.store)
	}
	if s.broker != nil && s.broker.Host != "" {
		toBroker = linkTo(t, s.broker)
	}
	return toStore, toBroker
}
