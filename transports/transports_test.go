package transports_test

import (
	"context"
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/transports"
)

func TestRegistry(t *testing.T) {
	away := errors.New("no such host")
	open := func(context.Context, *url.URL) (transports.Transport, error) { return nil, away }
	transports.Register("fake", open)
	require.Equal(t, []string{"fake"}, transports.Schemes())
	require.Panics(t, func() { transports.Register("fake", open) })

	for rawURL, want := range map[string]string{
		"fake://user:secret@host": "open transport fake://user:xxxxx@host: no such host",
		"memory:":                 `no transport for "memory" is linked; add: import _ "github.com/millrace-go/millrace/transports/memory"`,
		"mqtt://user:secret@host": `unknown scheme "mqtt"; linked transports: fake`,
		"://":                     "transport URL",
	} {
		_, err := transports.Open(t.Context(), rawURL)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := transports.Open(t.Context(), "fake:")
	require.ErrorIs(t, err, away)
	_, err = transports.Open(t.Context(), "fake://user:secret@host:port:port/%")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}
