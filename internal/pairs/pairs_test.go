package pairs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/pairs"
)

func TestMatching(t *testing.T) {
	require.Equal(t, []string{"sqlite"}, pairs.Matching("sqlite"))
	require.Equal(t, []string{"sqlite", "sqlite+amqp"}, pairs.Matching("sqlite*"))
	require.Equal(t, []string{"sqlite+amqp", "postgres+amqp", "redis+amqp"}, pairs.Matching("*+amqp"))
	require.Len(t, pairs.Matching("*"), len(pairs.All))
	require.Empty(t, pairs.Matching("nonsense"))
	require.Empty(t, pairs.Matching("["))
}
