package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is what the page shows. It needs nothing from the network.
type report struct {
	Made     string
	Machine  string
	Sum      string // of duplicates, losses and failures
	Faulty   bool
	Sections []section
	Lines    []line
}

// section is what one workload reached on all pairs.
type section struct {
	Workload string
	What     string
	Failures []string
	Charts   []chart
	Times    []chart // latencies over time, a pair each
}

//go:embed report.html
var page string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"figure": figure, "svg": chart.svg, "percent": func(v float64) string { return figure(100 * v) },
}).Parse(page))

// writeReport writes a page with charts of what was measured.
func writeReport(path string, all []line) error {
	var b bytes.Buffer
	if err := reportPage.Execute(&b, newReport(all, time.Now())); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func newReport(all []line, now time.Time) report {
	r := report{
		Made:    now.UTC().Format("2 January 2006, 15:04 UTC"),
		Machine: fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Lines:   all,
	}
	r.sum()
	var seen []string
	for _, l := range all {
		if !slices.Contains(seen, l.Workload) {
			seen = append(seen, l.Workload)
			r.Sections = append(r.Sections, newSection(l.Workload, all))
		}
	}
	return r
}

func (r *report) sum() {
	duplicates, losses, failures := 0, 0, 0
	for _, l := range r.Lines {
		duplicates += l.Duplicates
		losses += l.Losses
		if l.Error != "" {
			failures++
		}
	}
	r.Sum = fmt.Sprintf("%d measurements: %d duplicates, %d losses, %d failed", len(r.Lines), duplicates, losses, failures)
	r.Faulty = duplicates+losses+failures > 0
}

// what is measured, by workload.
var meanings = map[string]string{
	"plain":       "The chain of 3 on a plain Watermill Router over a broker: no state, nothing exactly once.",
	"chain3":      "Runs of 3 steps in sequence.",
	"fork10":      "Runs that fork into 10 parallel steps, join, and do one more.",
	"jobs-single": "Jobs that are inserted one by one, and then worked off.",
	"jobs-bulk":   "Jobs that are inserted 500 at a time, and then worked off.",
	"hop":         "Runs of 10 steps, one run at a time, on an idle system; the latency is that of a step.",
	"parked":      "Runs that wait in a join; the latency is that of a start.",
	"bigfork":     "One run that forks into many.",
	"later":       "chain3 while many messages fall due later.",
	"idle":        "chain3 while an idle transaction is held open in the same database.",
	"two":         "chain3 in two processes on one store, against one.",
}

func newSection(workload string, all []line) section {
	plainly, killed := strings.CutSuffix(workload, killSuffix)
	s := section{Workload: workload, What: meanings[plainly]}
	if killed {
		s.What += " Worker processes are killed, and brokers restarted, meanwhile."
	}
	var mine []line
	for _, l := range all {
		switch {
		case l.Workload != workload:
		case l.Error != "":
			s.Failures = append(s.Failures, l.Error)
		default:
			mine = append(mine, l)
		}
	}
	for _, f := range []struct {
		title, unit string
		of          func(line) float64
		faults      bool
	}{
		{"Throughput", "steps per second", func(l line) float64 { return l.StepsPerS }, false},
		{"Share of the store's limit", "%", func(l line) float64 { return 100 * l.Ratio }, false},
		{"Share of the plain Router over the same broker", "%", func(l line) float64 { return 100 * l.PlainRatio }, false},
		{"Share of the undisturbed", "%", func(l line) float64 { return 100 * kept(l, l.repeat()) }, false},
		{"Two processes to one", "times", func(l line) float64 { return l.Gain }, false},
		{"Duplicates", "steps", func(l line) float64 { return float64(l.Duplicates) }, true},
		{"Losses", "steps and runs", func(l line) float64 { return float64(l.Losses) }, true},
	} {
		c := bars(f.title, f.unit, mine, f.of)
		c.Bad = f.faults
		if f.faults || c.max() > 0 {
			s.Charts = append(s.Charts, c)
		}
	}
	for _, l := range mine {
		if len(l.Timeline) > 0 {
			s.Times = append(s.Times, latencies(l))
		}
	}
	return s
}

// bars has one for each line; those that have no such figure are left out,
// unless all have none.
func bars(title, unit string, all []line, of func(line) float64) chart {
	c := chart{Title: title, Unit: unit}
	for _, l := range all {
		c.Bars = append(c.Bars, bar{l.place(), of(l)})
	}
	if some := slices.DeleteFunc(slices.Clone(c.Bars), func(b bar) bool { return b.value == 0 }); len(some) > 0 && unit == "%" {
		c.Bars = some
	}
	return c
}

// place names where l was measured, in few words.
func (l line) place() string {
	if l.Store == overGoChannel.store {
		return strings.TrimSuffix(l.Transport, ":")
	}
	return l.pair().String()
}

// latencies are a line's percentiles over time.
func latencies(l line) chart {
	c := chart{Title: l.place(), Unit: "ms", Across: "seconds"}
	for _, p := range []struct {
		name string
		of   func(slice) float64
	}{
		{"p50", func(s slice) float64 { return s.P50 }},
		{"p95", func(s slice) float64 { return s.P95 }},
		{"p99", func(s slice) float64 { return s.P99 }},
	} {
		curve := curve{name: p.name}
		for _, s := range l.Timeline {
			if s.EndsPerS > 0 { // in the others nothing ended
				curve.points = append(curve.points, point{s.At, p.of(s)})
			}
		}
		c.Curves = append(c.Curves, curve)
	}
	return c
}
