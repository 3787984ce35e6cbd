package router_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
)

// load reads text as a config file.
func load(t *testing.T, text string) (router.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "millrace.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return router.Load(path)
}

// complaint returns the one line that says what is wrong.
func complaint(t *testing.T, err error) string {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "\n")
	return err.Error()
}

func TestLoadEverySetting(t *testing.T) {
	no := false
	want := router.Config{
		Store: "sqlite:a.db", Transport: "memory:", Migrate: &no, Concurrency: 2, Timeout: 3 * time.Second,
		UnknownFor: time.Hour, Lease: 4 * time.Second, Poll: 50 * time.Millisecond, Drain: 90 * time.Second,
		Wait: 5 * time.Minute, PayloadLimit: 1000, Hold: 7, ScopeRetention: 48 * time.Hour, InboxRetention: 24 * time.Hour,
	}
	settings := map[string]string{
		"store": "sqlite:a.db", "transport": "memory:", "migrate": "false", "concurrency": "2", "timeout": "3s",
		"unknown_for": "1h", "lease": "4s", "poll": "50ms", "drain": "1m30s", "wait": "5m", "payload_limit": "1000",
		"hold": "7", "scope_retention": "48h", "inbox_retention": "24h",
	}
	text := ""
	for key, value := range settings {
		text += key + ": " + strings.ReplaceAll(value, "memory:", `"memory:"`) + "\n"
	}
	got, err := load(t, text)
	require.NoError(t, err)
	require.Equal(t, want, got)

	for key, value := range settings {
		t.Setenv("MILLRACE_"+strings.ToUpper(key), value)
	}
	got, err = router.Load("")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestLoadEnvironmentOverFile(t *testing.T) {
	t.Setenv("MILLRACE_LEASE", "10s")
	t.Setenv("MILLRACE_MIGRATE", "true")
	t.Setenv("MILLRACE_HOLD", "") // as if it were not there
	t.Setenv("MILLRACE_TEST_POSTGRES", "postgres://test")
	c, err := load(t, "lease: 5s\npoll: 2s\nmigrate: false\nhold: 9\n")
	require.NoError(t, err)
	require.Equal(t, 10*time.Second, c.Lease)
	require.Equal(t, 2*time.Second, c.Poll)
	require.True(t, *c.Migrate)
	require.Equal(t, 9, c.Hold)
}

func TestLoadNothing(t *testing.T) {
	c, err := router.Load("")
	require.NoError(t, err)
	require.Equal(t, router.Config{}, c)
	for _, text := range []string{"", "# nothing\n", "store:\n"} {
		c, err := load(t, text)
		require.NoError(t, err, "%q", text)
		require.Equal(t, router.Config{}, c)
	}
}

// L1
func TestLoadSaysWhatIsWrong(t *testing.T) {
	for text, says := range map[string]string{
		"stoer: x":              "unknown key stoer; known are concurrency, drain,",
		"Store: x":              "unknown key Store",
		"a: 1\nb: 2":            "unknown key a, b",
		"policy: x":             "unknown key policy",
		"store.url: x":          "store",
		"store: {url: x}":       "store: expected type 'string'",
		"store: 5":              "store: expected type 'string'",
		"lease: 30":             "lease: 30 is no duration; write it with its unit, such as 30s or 5m",
		"lease: soon":           `lease: "soon" is no duration`,
		"lease: 1.5":            "lease: 1.5 is no duration",
		"concurrency: many":     "concurrency: expected type 'int'",
		"concurrency: 1.5":      "concurrency: 1.5 is no whole number",
		"migrate: perhaps":      "migrate: expected type 'bool'",
		"store: a\nstore: b":    "store",
		"store: [":              "yaml: ",
		"- store":               "yaml: ",
		"store: a: b":           "yaml: ",
		"lease: 1s\n\tpoll: 1s": "yaml: ",
	} {
		_, err := load(t, text)
		line := complaint(t, err)
		require.Contains(t, line, "config /", text)
		require.Contains(t, line, "millrace.yaml: ", text)
		require.Contains(t, line, says, text)
	}
	_, err := router.Load("none.yaml")
	require.Contains(t, complaint(t, err), "config none.yaml: open none.yaml: no such file")
}

// L1
func TestLoadSaysWhatIsWrongInTheEnvironment(t *testing.T) {
	for variable, says := range map[string]string{
		"STOER=x":           "unknown key MILLRACE_STOER; known are MILLRACE_CONCURRENCY, MILLRACE_DRAIN,",
		"POLICY=x":          "unknown key MILLRACE_POLICY",
		"STORE.URL=x":       "MILLRACE_STORE",
		"LEASE=30":          `MILLRACE_LEASE: "30" is no duration`,
		"CONCURRENCY=many":  "MILLRACE_CONCURRENCY: cannot parse value as 'int'",
		"PAYLOAD_LIMIT=1.5": "MILLRACE_PAYLOAD_LIMIT: cannot parse value as 'int'",
		"MIGRATE=perhaps":   "MILLRACE_MIGRATE: cannot parse value as 'bool'",
	} {
		t.Run(variable, func(t *testing.T) {
			name, value, _ := strings.Cut(variable, "=")
			t.Setenv("MILLRACE_"+name, value)
			_, err := router.Load("")
			line := complaint(t, err)
			require.Contains(t, line, "environment: ")
			require.Contains(t, line, says)
		})
	}
}

// L1
func TestNegativeSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	for key, c := range map[string]router.Config{
		"concurrency": {Concurrency: -1}, "timeout": {Timeout: -1}, "unknown_for": {UnknownFor: -1}, "lease": {Lease: -1},
		"poll": {Poll: -1}, "drain": {Drain: -1}, "wait": {Wait: -1}, "payload_limit": {PayloadLimit: -1}, "hold": {Hold: -1},
		"scope_retention": {ScopeRetention: -1}, "inbox_retention": {InboxRetention: -1},
	} {
		_, err := router.New(t.Context(), c)
		require.Contains(t, complaint(t, err), "config: "+key+" is -1", key)
	}
	require.NoFileExists(t, "millrace.db")
}
