package amqp_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/transports"
)

// L1
func TestWrongConfigurationIsOneLine(t *testing.T) {
	for url, want := range map[string]string{
		"amqp://u:secret@h/?nonsense=1":      `unknown option "nonsense"`,
		"amqp://u:secret@h/?queue=stream":    "queue=stream: it can be quorum or classic",
		"amqp://u:secret@h/?heartbeat=1ms":   "heartbeat=1ms",
		"amqp://u:secret@h/?heartbeat=often": "option heartbeat=often",
		"amqp://u:secret@h/?window=-1":       "at least 1",
		"amqp://u:secret@h/?window=many":     "option window=many",
		"amqp://u:secret@h/?channels=-1":     "at least 1",
		"amqp://u:secret@h/?drain=-1s":       "negative",
		"amqps://u:secret@h/?ca=/no/file":    "option ca",
		"amqps://u:secret@h/?cert=/no/file":  "options cert and key",
		"amqp://":                            "no host",
	} {
		_, err := transports.Open(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		oneLine(t, err)
	}
}

func oneLine(t *testing.T, err error) {
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "secret")
}

// A server that is down, or does not answer, or refuses: one line within five
// seconds.
//
// L1
func TestServerThatCannotBeUsedIsOneLine(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	good := servers.AMQP(t)
	for url, want := range map[string]string{
		"amqp://u:secret@" + closed.Addr().String():   "connection refused",
		"amqp://u:secret@" + silent.Addr().String():   "does not answer",
		"amqps://u:secret@" + silent.Addr().String():  "does not answer",
		"amqp://u:secret@no-such-host.invalid/":       "no-such-host.invalid",
		with(t, good, "nobody", "secret", ""):         `refuses the user "nobody"`,
		with(t, good, "", "", "no-such-vhost"):        `vhost "no-such-vhost"`,
		with(t, good, "", "", "no-such-vhost%2Fdeep"): `vhost "no-such-vhost/deep"`,
	} {
		begun := time.Now()
		_, err := transports.Open(context.Background(), url)
		require.ErrorContains(t, err, want, url)
		oneLine(t, err)
		require.Less(t, time.Since(begun), 5*time.Second)
	}
}
