package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	faulty := chains("redis:", 0.3)
	faulty.Losses = 7
	timed := chains("<b>&\"evil\"", 0.4)
	timed.Timeline = []slice{{At: 1, EndsPerS: 10, P50: 1, P95: 2, P99: 30}, {At: 2}, {At: 3, EndsPerS: 10, P50: 1, P95: 2, P99: 3}}
	require.NoError(t, writeReport(path, []line{timed, faulty, {Workload: "chain3-kill", Error: "it broke"}}))
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(raw)
	require.Contains(t, text, "3 measurements: 0 duplicates, 7 losses, 1 failed")
	require.Contains(t, text, "it broke")
	require.NotContains(t, text, "<b>")
	for _, remote := range []string{"http:", "https:", "src=", "<link", "@import", "<script"} {
		require.NotContains(t, text, remote, "the page works without a network")
	}
}

// Every picture is well-formed, and its parts have places.
func TestPictures(t *testing.T) {
	for _, c := range []chart{
		{Title: "none", Curves: []curve{{name: "p50"}}},
		{Title: "zeros", Unit: "x", Bars: []bar{{"a", 0}, {"b & c", 0}}},
		{Title: "bars", Unit: "%", Bars: []bar{{"a", 0.0003}, {"b", 12_345_678}}},
		{Title: "curves", Unit: "ms", Across: "s", Curves: []curve{{"p50", []point{{0, 0}, {1, 3}}}}},
	} {
		text := string(c.svg())
		require.NotContains(t, text, "NaN")
		require.NotContains(t, text, "Inf")
		d := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := d.Token(); err != nil {
				require.True(t, errors.Is(err, io.EOF), "%s: %v", c.Title, err)
				break
			}
		}
	}
}

func TestTicks(t *testing.T) {
	require.Equal(t, []float64{0, 1}, ticksUpTo(0))
	for _, v := range []float64{0.003, 0.9, 1, 3, 4, 7.5, 99, 100, 123_456} {
		got := ticksUpTo(v)
		require.GreaterOrEqual(t, got[len(got)-1], v*0.99)
		require.Less(t, len(got), 7, v)
		require.Greater(t, len(got), 2, v)
	}
	require.Equal(t, "2.5k", tickText(2500))
	require.Equal(t, "0.25", tickText(0.25))
}
