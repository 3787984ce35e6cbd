package setting

import (
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEach(t *testing.T) {
	got := map[string]string{}
	note := func(key, value string) error {
		got[key] = value
		return nil
	}
	each := func(query string) error { return Each(&url.URL{RawQuery: query}, note) }
	require.NoError(t, each("a=1&b=x%20y"))
	require.Equal(t, map[string]string{"a": "1", "b": "x y"}, got)
	require.ErrorContains(t, each("a=1&a=2"), `setting "a" of the URL must be given once`)
	require.ErrorContains(t, each("a="), `setting "a" of the URL must be given once, with a value`)
	require.ErrorContains(t, each("%zz"), "settings of the URL")

	errSet := errors.New("unknown")
	require.ErrorIs(t, Each(&url.URL{RawQuery: "a=1"}, func(string, string) error { return errSet }), errSet)
	require.NoError(t, Invalid("a", "1", nil))
	require.EqualError(t, Invalid("a", "1", errSet), "setting a=1 of the URL: unknown")
}
