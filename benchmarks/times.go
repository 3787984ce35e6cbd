package main

import (
	"slices"
	"time"
)

// sample is how long something took that ended at a time.
type sample struct {
	at   time.Time
	took time.Duration
}

// since is how long something took that ends now.
func since(begun time.Time) sample {
	now := time.Now()
	return sample{now, now.Sub(begun)}
}

// slice is a part of the time that a measurement took.
type slice struct {
	At       float64 `json:"at_s"` // its end, in seconds from the first sample
	EndsPerS float64 `json:"ends_per_s"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	P99      float64 `json:"p99_ms"`
}

// slices that a measurement's time is cut into.
const slicesOfTime = 10

// timeline sets the percentiles, of all samples and over time. It sorts them.
func (l *line) timeline(all []sample) {
	l.times(tooks(all))
	l.Timeline = nil
	if len(all) < 2 {
		return
	}
	slices.SortFunc(all, func(x, y sample) int { return x.at.Compare(y.at) })
	begin := all[0].at
	each := all[len(all)-1].at.Sub(begin)/slicesOfTime + 1
	for i := range slicesOfTime {
		end := begin.Add(time.Duration(i+1) * each)
		n := slices.IndexFunc(all, func(s sample) bool { return !s.at.Before(end) })
		if n < 0 {
			n = len(all)
		}
		d := tooks(all[:n])
		slices.Sort(d)
		l.Timeline = append(l.Timeline, slice{
			At: end.Sub(begin).Seconds(), EndsPerS: float64(n) / each.Seconds(),
			P50: percentile(d, 50), P95: percentile(d, 95), P99: percentile(d, 99),
		})
		all = all[n:]
	}
}

func tooks(all []sample) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, s := range all {
		out[i] = s.took
	}
	return out
}

// times sets the percentiles. It sorts d.
func (l *line) times(d []time.Duration) {
	slices.Sort(d)
	l.P50, l.P95, l.P99 = percentile(d, 50), percentile(d, 95), percentile(d, 99)
}

// percentile returns what p percent of the times, which are sorted, do not
// exceed, in milliseconds.
func percentile(d []time.Duration, p int) float64 {
	if len(d) == 0 {
		return 0
	}
	i := (len(d)*p + 99) / 100
	return float64(d[max(i, 1)-1].Nanoseconds()) / 1e6
}
