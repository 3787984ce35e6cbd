package redis_test

import (
	"context"
	"testing"

	"github.com/millrace-go/millrace/internal/servers"
)

var background = context.Background()

func shared(t testing.TB) string { return servers.Redis(t) }
