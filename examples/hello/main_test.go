package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/examples/internal/clitest"
)

func TestReadmeShowsThisProgram(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	code, err := os.ReadFile("main.go")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```go\n"+string(code)+"```\n")
	require.Less(t, strings.Count(string(code), "\n"), 40, "hello world is to be under 40 lines")
}

func TestHelloGreetsAfterItWasKilled(t *testing.T) {
	hello := clitest.Build(t)
	for range 3 {
		hello.Kill(rand.N(500 * time.Millisecond))
	}
	require.Equal(t, "Hello, world!\n", hello.Output())
	require.Equal(t, "Hello, world!\n", hello.Output(), "it is one run, however often it is started")
}
