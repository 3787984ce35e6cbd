package step

import (
	"math"
	"time"
)

// Policy says when a failed message is tried again. The zero Policy is
// [DefaultPolicy].
type Policy struct {
	Initial    time.Duration   // delay after the first failure; default 1 s
	Factor     float64         // each delay is so many times the one before; default 2
	Cap        time.Duration   // no delay is longer; default 10 min
	Jitter     float64         // part of each delay that is drawn by chance, 0 to 1; default 0
	Attempts   int             // most attempts; 0: no limit but Elapsed; default 10 if Elapsed is 0 too
	Elapsed    time.Duration   // no attempt begins later than so long after the first failure; 0: no limit
	Delays     []time.Duration // explicit delays, instead of Initial and Factor; the last one repeats
	UnknownFor time.Duration   // how long an unknown task is retried; default 10 min
}

// DefaultPolicy tries ten times: after 1 s, 2 s, 4 s and so on, for 8.5
// minutes in all.
var DefaultPolicy = Policy{Initial: time.Second, Factor: 2, Cap: 10 * time.Minute, Attempts: 10, UnknownFor: 10 * time.Minute}

// Mail is the schedule of mail servers (RFC 5321, 4.5.4.1): 5, 15 and 30
// minutes, then every hour, given up after 4.9 days, at attempt 121.
var Mail = Policy{Delays: []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}, Attempts: 121}

// IsZero reports whether nothing of p is set.
func (p Policy) IsZero() bool {
	return p.Initial == 0 && p.Factor == 0 && p.Cap == 0 && p.Jitter == 0 && p.Attempts == 0 && p.Elapsed == 0 &&
		len(p.Delays) == 0 && p.UnknownFor == 0
}

// WithDefaults fills in what is zero.
func (p Policy) WithDefaults() Policy {
	if p.Initial <= 0 {
		p.Initial = DefaultPolicy.Initial
	}
	if p.Factor < 1 {
		p.Factor = DefaultPolicy.Factor
	}
	if p.Cap <= 0 {
		p.Cap = DefaultPolicy.Cap
	}
	if p.Attempts <= 0 && p.Elapsed <= 0 {
		p.Attempts = DefaultPolicy.Attempts
	}
	if p.UnknownFor <= 0 {
		p.UnknownFor = DefaultPolicy.UnknownFor
	}
	p.Jitter = min(max(p.Jitter, 0), 1)
	return p
}

// Next returns the delay after the n-th failure (n from 1), since being the
// time since the first one; ok is false when the message has had its last
// attempt. chance, from 0 to 1, decides the jitter. p must have its defaults.
func (p Policy) Next(n int, since time.Duration, chance float64) (delay time.Duration, ok bool) {
	if p.Attempts > 0 && n >= p.Attempts {
		return 0, false
	}
	delay = p.delay(n)
	delay -= time.Duration(float64(delay) * p.Jitter * chance)
	if p.Elapsed > 0 && since+delay > p.Elapsed {
		return 0, false
	}
	return delay, true
}

func (p Policy) delay(n int) time.Duration {
	if len(p.Delays) > 0 {
		return max(p.Delays[min(n, len(p.Delays))-1], 0)
	}
	d := float64(p.Initial) * math.Pow(p.Factor, float64(n-1))
	if d >= float64(p.Cap) { // also when it overflowed
		return p.Cap
	}
	return time.Duration(d)
}
