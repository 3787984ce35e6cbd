package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"
)

// Absolute figures of two machines, or of two hours, say nothing about each
// other. What is compared are ratios of what was measured in one run.
var ratios = []struct {
	name string
	of   func(r repeat) float64
}{
	{"of the limit", func(r repeat) float64 { return r.Ratio }},
	{"of the plain Router", func(r repeat) float64 { return r.PlainRatio }},
	{"gain of two", func(r repeat) float64 { return r.Gain }},
}

// kept is a ratio too, of workloads that disturb.
func kept(l line, r repeat) float64 {
	if l.AlonePerS == 0 || l.Gain != 0 {
		return 0
	}
	return 1 - r.Slowdown
}

// compared is a ratio before and after.
type compared struct {
	workload      string
	pair          pair
	ratio         string
	before, after spread
	verdict       verdict
}

type verdict string

const (
	same      verdict = "same"
	better    verdict = "better"
	worse     verdict = "worse" // by less than what is tolerated
	regressed verdict = "REGRESSION"
)

// spread is the median of repeats, and the least and the most of them.
type spread struct{ middle, least, most float64 }

// change is the ratio of ratios.
func (c compared) change() float64 { return c.after.middle / c.before.middle }

// compareFiles prints a table of the ratios that both files have. A ratio that
// became worse by more than the tolerance, and by more than repeats differ, is
// an error; so are duplicates, losses and errors in the second file.
func compareFiles(out io.Writer, before, after string, tolerance float64) error {
	x, err := readLines(before)
	if err != nil {
		return err
	}
	y, err := readLines(after)
	if err != nil {
		return err
	}
	all := comparison(x, y, tolerance)
	if len(all) == 0 {
		return fmt.Errorf("%s and %s have no ratio in common", before, after)
	}
	printComparison(out, all)
	return errors.Join(append(lacking(out, x, y), faultsOf(all, y)...)...)
}

// comparison has what is in both.
func comparison(before, after []line, tolerance float64) []compared {
	var out []compared
	for _, x := range before {
		y, ok := counterpart(x, after)
		if !ok || x.Error != "" || y.Error != "" {
			continue
		}
		for _, r := range ratios {
			out = withRatio(out, x, r.name, spreadOf(x, r.of), spreadOf(y, r.of), tolerance)
		}
		out = withRatio(out, x, "of undisturbed",
			spreadOf(x, func(r repeat) float64 { return kept(x, r) }),
			spreadOf(y, func(r repeat) float64 { return kept(y, r) }), tolerance)
	}
	return out
}

func withRatio(out []compared, l line, name string, before, after spread, tolerance float64) []compared {
	if before.middle <= 0 || after.middle <= 0 {
		return out
	}
	c := compared{workload: l.Workload, pair: l.pair(), ratio: name, before: before, after: after}
	c.verdict = judge(c, tolerance)
	return append(out, c)
}

// judge calls a change one only if the repeats of before and after do not
// overlap. With a single repeat there is no telling: what is tolerated then
// also counts as noise.
func judge(c compared, tolerance float64) verdict {
	alone := c.before.least == c.before.most && c.after.least == c.after.most
	noise := alone && math.Abs(c.change()-1) <= tolerance
	switch {
	case noise:
		return same
	case c.after.least > c.before.most:
		return better
	case c.after.most >= c.before.least:
		return same
	case c.change() < 1-tolerance:
		return regressed
	}
	return worse
}

// spreadOf is that of a ratio in a line's repeats.
func spreadOf(l line, of func(repeat) float64) spread {
	s := spread{middle: of(l.repeat()), least: math.Inf(1), most: math.Inf(-1)}
	for _, r := range append(l.Repeats, l.repeat()) {
		s.least, s.most = min(s.least, of(r)), max(s.most, of(r))
	}
	return s
}

func counterpart(l line, among []line) (line, bool) {
	for _, o := range among {
		if o.Workload == l.Workload && o.pair() == l.pair() {
			return o, true
		}
	}
	return line{}, false
}

func printComparison(out io.Writer, all []compared) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "workload\tpair\tratio\tbefore\tspread\tafter\tspread\tafter / before\tverdict")
	for _, c := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.2f\t%s\n", c.workload, c.pair, c.ratio,
			figure(c.before.middle), c.before, figure(c.after.middle), c.after, c.change(), c.verdict)
	}
	_ = w.Flush()
}

func (s spread) String() string { return figure(s.least) + ".." + figure(s.most) }

// lacking prints what only one file has. What can't be measured any more is an
// error.
func lacking(out io.Writer, before, after []line) []error {
	var errs []error
	for _, x := range before {
		if _, ok := counterpart(x, after); !ok {
			fmt.Fprintf(out, "only before: %s on %s\n", x.Workload, x.pair())
		}
	}
	for _, y := range after {
		x, ok := counterpart(y, before)
		if !ok {
			fmt.Fprintf(out, "only after: %s on %s\n", y.Workload, y.pair())
		}
		if y.Error != "" && (!ok || x.Error == "") {
			errs = append(errs, errors.New(y.Error))
		}
	}
	return errs
}

func faultsOf(all []compared, after []line) []error {
	var errs []error
	for _, c := range all {
		if c.verdict == regressed {
			errs = append(errs, fmt.Errorf("%s on %s: %.0f %% less %s", c.workload, c.pair, 100*(1-c.change()), c.ratio))
		}
	}
	for _, l := range after {
		if l.Duplicates+l.Losses > 0 {
			errs = append(errs, fmt.Errorf("%s on %s: %d duplicates, %d losses", l.Workload, l.pair(), l.Duplicates, l.Losses))
		}
	}
	return errs
}
