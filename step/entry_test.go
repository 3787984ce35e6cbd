package step

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/millrace-go/millrace/store"
)

// An entry is written as its tags say.
//
// H1
func TestEntryAsTagged(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.Make[Entry]().Draw(t, "entry")
		want, err := store.Marshal(&e)
		require.NoError(t, err)
		require.Equal(t, string(want), string(e.appendTo(nil)))
	})
}
