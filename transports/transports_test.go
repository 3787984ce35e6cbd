package transports_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/transports"
)

var tries atomic.Int64

func TestRegistry(t *testing.T) {
	away := errors.New("no such host")
	open := func(context.Context, *url.URL) (transports.Transport, error) { return nil, away }
	fake := fmt.Sprint("fake", tries.Add(1)) // there is no way to forget one
	transports.Register(fake, open)
	require.Contains(t, transports.Schemes(), fake)
	require.Panics(t, func() { transports.Register(fake, open) })

	for rawURL, want := range map[string]string{
		fake + "://user:secret@host": "open transport " + fake + "://user:xxxxx@host: no such host",
		"memory:":                    `no transport for "memory" is linked; add: import _ "github.com/millrace-go/millrace/transports/memory"`,
		"mqtt://user:secret@host":    `unknown scheme "mqtt"; linked: fake`,
		"://":                        "transport URL",
		fake + "://user:secret@h:p":  "malformed",
	} {
		_, err := transports.Open(t.Context(), rawURL)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := transports.Open(t.Context(), fake+":")
	require.ErrorIs(t, err, away)
}
