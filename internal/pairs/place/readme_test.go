package place_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/internal/pairs"
	"github.com/millrace-go/millrace/internal/pairs/place"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// doomed names, in the environment of a process, the store on which it is to
// start a run, and the broker; then it dies.
const doomedStore, doomedBroker = "MILLRACE_TEST_DOOMED_STORE", "MILLRACE_TEST_DOOMED_BROKER"

func TestMain(m *testing.M) {
	if at := os.Getenv(doomedStore); at != "" {
		startAndDie(at, os.Getenv(doomedBroker))
	}
	goleak.VerifyTestMain(m)
}

var task = saga.NewTask[int]("survivor/task")

func startAndDie(storeURL, brokerURL string) {
	ctx := context.Background()
	r, err := router.New(ctx, router.Config{Store: storeURL, Transport: brokerURL})
	if err == nil {
		_, err = saga.Start(ctx, r, task, 1, saga.ID("survivor"))
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// row is one of the README's table.
type row struct{ pair, sql, inCommit, survives string }

func table(t *testing.T) (rows []row) {
	text, err := os.ReadFile("../../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "| store + broker | SQL | published in the commit | survives a crash |")
	require.True(t, found)
	for line := range strings.Lines(rest) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 || !strings.Contains(cells[1], "`") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `\n")
		}
		rows = append(rows, row{cells[1], cells[2], cells[3], cells[4]})
	}
	return rows
}

// The README's table has the pairs that the suite of sagas runs on, and says of
// each what is so.
func TestTableOfCapabilities(t *testing.T) {
	rows := table(t)
	require.Len(t, rows, len(pairs.All))
	for i, p := range pairs.All {
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			at := place.New(t, p)
			require.Equal(t, row{p.String(), word(hasSQL(t, at)), inCommit(t, p, at), word(survives(t, at))}, rows[i])
			require.Equal(t, p.HasSQL(), hasSQL(t, at))
			at.Note("survivor")
		})
	}
}

func word(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

func opened(t *testing.T, at *place.Place) store.Store {
	s, err := store.Open(t.Context(), at.Store, store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func hasSQL(t *testing.T, at *place.Place) bool {
	_, ok := opened(t, at).(store.SQL)
	return ok
}

// inCommit says whether commits of the store publish to the broker.
func inCommit(t *testing.T, p pairs.Pair, at *place.Place) string {
	if p.Broker == "" {
		return "-"
	}
	broker, err := transports.Open(t.Context(), at.Transport)
	require.NoError(t, err)
	defer broker.Close()
	a, ok := broker.(transports.Attacher)
	if !ok {
		return "no"
	}
	yes, err := a.Attach(t.Context(), opened(t, at))
	require.NoError(t, err)
	return word(yes)
}

// survives reports whether a run is there that a process has started before it
// was killed.
func survives(t *testing.T, at *place.Place) bool {
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(child.Environ(), doomedStore+"="+at.Store, doomedBroker+"="+at.Transport)
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.True(t, exit.Sys().(syscall.WaitStatus).Signaled(), "%s", out)

	r, err := router.New(t.Context(), router.Config{Store: at.Store, Transport: at.Transport})
	require.NoError(t, err)
	defer r.Close()
	_, err = saga.Find(t.Context(), r, "survivor")
	if errors.Is(err, saga.ErrNotFound) {
		return false
	}
	require.NoError(t, err)
	return true
}
