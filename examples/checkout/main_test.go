package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/millrace-go/millrace/examples/internal/cli"
	"github.com/millrace-go/millrace/examples/internal/clitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(ctx context.Context, args ...string) (status int, out, notes string) {
	var o, n bytes.Buffer
	status = cli.Run(ctx, "checkout", program, args, &o, &n)
	return status, o.String(), n.String()
}

var stores = map[string]string{"memory": "memory:", "sqlite": ""}

// Each order ends in the way that the bank decides, on any store. The deadline
// is one that no machine misses, or that nobody can keep.
//
// C1, F7
//
//semantics:stores memory sqlite
func TestCheckout(t *testing.T) {
	for name, url := range stores {
		t.Run(name, func(t *testing.T) {
			args := []string{"-dir", t.TempDir(), "-store", url, "-n", "100", "-decline", "0.2", "-silent", "0", "-deadline", "1h"}
			status, out, notes := run(t.Context(), args...)
			require.Equal(t, 0, status, notes)
			require.Equal(t, summary(100, 73, 27, 0), out)
			require.Contains(t, notes, "100 orders: ")

			args = []string{"-dir", t.TempDir(), "-store", url, "-n", "20", "-decline", "0", "-silent", "1", "-deadline", "50ms"}
			status, out, notes = run(t.Context(), args...)
			require.Equal(t, 0, status, notes)
			require.Equal(t, summary(20, 0, 0, 20), out)
		})
	}
}

func summary(orders, shipped, compensated, expired int) string {
	var b bytes.Buffer
	_ = Summary{orders, shipped, compensated, expired}.Print(&b)
	return b.String()
}

func TestSecondStartPrintsTheSameSummary(t *testing.T) {
	args := []string{"-dir", t.TempDir(), "-n", "20", "-silent", "0", "-deadline", "1h"}
	_, first, _ := run(t.Context(), args...)
	status, again, notes := run(t.Context(), args...)
	require.Equal(t, 0, status, notes)
	require.Equal(t, first, again)

	status, _, notes = run(t.Context(), append(args, "-deadline", "1m")...)
	require.Equal(t, 1, status)
	require.Contains(t, notes, "the order was placed with another -deadline")

	status, _, notes = run(t.Context(), append(args, "-deadline", "1m", "-fresh")...)
	require.Equal(t, 0, status, notes)
}

// M2, M3, C1: what the handlers wrote down adds up after kills, or the
// program would end with status 1.
//
//semantics:stores sqlite
func TestKilledCheckoutGoesOn(t *testing.T) {
	checkout := clitest.Build(t)
	args := []string{"-n", "300", "-customers", "100", "-deadline", "300ms", "-decline", "0.2", "-silent", "0.1"}
	kills := 0
	for range 6 {
		if checkout.Kill(50*time.Millisecond+rand.N(250*time.Millisecond), args...) {
			kills++
		}
	}
	t.Logf("killed %d times", kills)
	require.Contains(t, checkout.Output(args...), "300  orders\n")
}

func TestWrongUseIsOneLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-n", "x"}, `checkout: invalid value "x" for flag -n: parse error; -h lists the flags`},
		{[]string{"-n", "-1"}, "checkout: -n and -customers must be positive"},
		{[]string{"-decline", "0.7", "-silent", "0.7"}, "checkout: -decline and -silent must be shares between 0 and 1, and at most 1 together"},
		{[]string{"-deadline", "0s"}, "checkout: -deadline must be positive"},
		{[]string{"more"}, `checkout: unexpected "more"; -h lists the flags`},
		{[]string{"-store", "nonsense:"}, `checkout: store URL "nonsense:": unknown scheme "nonsense"; linked: memory, postgres, postgresql, redis, rediss, sqlite`},
	} {
		status, out, notes := run(t.Context(), append([]string{"-dir", t.TempDir()}, c.args...)...)
		require.Equal(t, 1, status)
		require.Empty(t, out)
		require.Equal(t, c.want+"\n", notes)
	}
}

// The check must see what it is there for.
func TestCheckFindsWhatDoesNotAddUp(t *testing.T) {
	for name, c := range map[string]struct {
		entries []Entry
		want    string
	}{
		"shipped twice":     {[]Entry{{"b-1", "packed", "1"}, {"b-1", "charged", "2"}, {"b-1", shipped, "3"}, {"b-1", shipped, "4"}}, "in another way than exactly one"},
		"never ended":       {[]Entry{{"b-1", "packed", "1"}}, "in another way than exactly one"},
		"shipped, expired":  {[]Entry{{"b-1", shipped, "1"}, {"b-1", expired, "2"}}, "in another way than exactly one"},
		"left in its box":   {[]Entry{{"b-1", "packed", "1"}, {"b-1", compensated, "2"}}, "neither shipped nor unpacked"},
		"money kept":        {[]Entry{{"b-1", "charged", "1"}, {"b-1", expired, "2"}}, "neither shipped nor refunded"},
		"not as the run":    {[]Entry{{"b-1", expired, "1"}}, "the runs have"},
		"refunded for free": {[]Entry{{"b-1", "refunded", "1"}, {"b-1", expired, "2"}}, "neither shipped nor refunded"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := OpenLedger(filepath.Join(t.TempDir(), "ledger.log"))
			require.NoError(t, err)
			defer l.Close()
			for _, e := range c.entries {
				require.NoError(t, l.Add(e))
				require.NoError(t, l.Add(e), "an entry is written once for its message")
			}
			require.ErrorContains(t, check(l, Summary{Orders: 1, Shipped: 1}, []string{"b-1"}), c.want)
		})
	}
}

func TestLedgersOfTwoProcessesSeeEachOther(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger.log")
	a, err := OpenLedger(file)
	require.NoError(t, err)
	defer a.Close()
	b, err := OpenLedger(file)
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, a.Add(Entry{"b-1", "packed", "1"}))
	has, err := b.Has("b-1", "packed")
	require.NoError(t, err)
	require.True(t, has)
	require.NoError(t, b.Add(Entry{"b-1", "packed", "1"}))
	n, err := a.Count("b-1", "packed")
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
