package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	_ "github.com/millrace-go/millrace/router"
	_ "github.com/millrace-go/millrace/saga"
	_ "github.com/millrace-go/millrace/store/memory"
	_ "github.com/millrace-go/millrace/transports/transporttest"
)

// A transport in a module of its own passes the suite of ours, and its example
// prints what it says. The imports above, and reading its files, make the
// result of this test one that depends on them.
func TestTransportOfAnotherModule(t *testing.T) {
	files, err := filepath.Glob("transport/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, name := range files {
		_, err := os.ReadFile(name)
		require.NoError(t, err)
	}
	for _, args := range [][]string{{"vet", "./..."}, {"test", "-count=1", "./..."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = "transport", append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "go %v in examples/transport: %s", args, out)
	}
}
