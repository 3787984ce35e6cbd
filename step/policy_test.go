package step_test

import (
	"math"
	"testing"
	"time"

	"github.com/millrace-go/millrace/step"
)

// R3
func TestMailSchedule(t *testing.T) {
	var delays []time.Duration
	var since time.Duration
	p := step.Mail.WithDefaults()
	n := 1
	for ; ; n++ {
		d, ok := p.Next(n, since, 0.5)
		if !ok {
			break
		}
		delays = append(delays, d)
		since += d
	}
	if n != 121 || delays[0] != 5*time.Minute || delays[1] != 15*time.Minute || delays[2] != 30*time.Minute || delays[3] != time.Hour || delays[119] != time.Hour {
		t.Fatalf("gives up at attempt %d: %v", n, delays)
	}
	if days := since.Hours() / 24; math.Abs(days-4.9) > 0.05 {
		t.Fatalf("gives up after %.2f days", days)
	}
}

// R1
func TestPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		policy step.Policy
		n      int
		since  time.Duration
		chance float64
		want   time.Duration
		ok     bool
	}{
		"default, first":           {step.Policy{}, 1, 0, 0, time.Second, true},
		"default, ninth":           {step.Policy{}, 9, 0, 0, 256 * time.Second, true},
		"default, tenth":           {step.Policy{}, 10, 0, 0, 0, false},
		"cap":                      {step.Policy{Initial: time.Minute, Cap: time.Hour, Attempts: 100}, 9, 0, 0, time.Hour, true},
		"cap, far beyond":          {step.Policy{Attempts: 1 << 30}, 1 << 20, 0, 0, 10 * time.Minute, true},
		"factor":                   {step.Policy{Initial: time.Second, Factor: 3, Attempts: 9}, 3, 0, 0, 9 * time.Second, true},
		"constant":                 {step.Policy{Initial: time.Second, Factor: 1, Attempts: 9}, 8, 0, 0, time.Second, true},
		"jitter":                   {step.Policy{Jitter: 0.5}, 1, 0, 1, 500 * time.Millisecond, true},
		"too much jitter":          {step.Policy{Jitter: 7}, 1, 0, 1, 0, true},
		"elapsed":                  {step.Policy{Elapsed: time.Hour}, 50, time.Hour - 10*time.Minute, 0, 10 * time.Minute, true},
		"elapsed, over":            {step.Policy{Elapsed: time.Hour}, 50, time.Hour - 10*time.Minute + 1, 0, 0, false},
		"delays":                   {step.Policy{Delays: []time.Duration{1, 2}}, 2, 0, 0, 2, true},
		"delays, the last repeats": {step.Policy{Delays: []time.Duration{1, 2}}, 7, 0, 0, 2, true},
		"negative delay":           {step.Policy{Delays: []time.Duration{-1}}, 1, 0, 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := c.policy.WithDefaults().Next(c.n, c.since, c.chance)
			if got != c.want || ok != c.ok {
				t.Fatalf("%v, %v; want %v, %v", got, ok, c.want, c.ok)
			}
		})
	}
}
