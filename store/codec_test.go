package store

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is written is what the structs with their tags say, and reads back.
func TestMessageBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.Make[messageBody]().Draw(t, "body")
		b.Meta = one(b.Meta)
		want, err := Marshal(&b)
		require.NoError(t, err)
		var m Message
		require.NoError(t, m.UnmarshalBody(want))
		require.Equal(t, string(want), string(m.AppendBody(nil)))
		require.Equal(t, "before"+string(want), string(m.AppendBody([]byte("before"))))
	})
}

func TestRunBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.Make[runBody]().Draw(t, "body")
		b.Input = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "input")
		b.Head = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "head")
		want, err := Marshal(&b)
		require.NoError(t, err)
		var r Run
		require.NoError(t, r.UnmarshalBody(want))
		require.Equal(t, string(want), string(r.AppendBody(nil)))
	})
}

// one returns a map of at most one entry: others are written in any order.
func one(all map[string]string) map[string]string {
	for k, v := range all {
		return map[string]string{k: v}
	}
	return nil
}
