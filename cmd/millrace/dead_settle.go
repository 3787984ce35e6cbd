package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

type requeueDead struct {
	Seq     []int64 `arg:"" optional:"" help:"Numbers of the dead letters."`
	All     bool    `help:"All that there are."`
	Rate    string  `help:"With --all: how many fall due in a second, minute or hour, such as 5/s, 100/m." placeholder:"N/s"`
	Payload string  `help:"File with another payload, for one dead letter; the old one is kept." placeholder:"FILE"`
}

// Run sends dead letters again.
func (c *requeueDead) Run(s *session) error {
	rate, opts, err := c.check()
	if err != nil {
		return err
	}
	return s.with(func(r *router.Router) error {
		t := tally{s: s, verb: "requeued"}
		if c.All {
			_, err := saga.RequeueAll(s.ctx, r, rate, func(d saga.DeadLetter, err error) { t.tell(d.Seq, err) })
			return errors.Join(err, t.sum())
		}
		for _, seq := range c.Seq {
			t.tell(seq, saga.Requeue(s.ctx, r, seq, opts...))
		}
		return t.sum()
	})
}

// check reads what goes together, before anything is done.
func (c *requeueDead) check() (rate float64, opts []saga.RequeueOption, err error) {
	switch {
	case c.All == (len(c.Seq) > 0):
		return 0, nil, errors.New("dead requeue: name dead letters by their numbers, or ask for --all")
	case c.Rate != "" && !c.All:
		return 0, nil, errors.New("dead requeue: --rate goes with --all")
	case c.Payload != "" && len(c.Seq) != 1:
		return 0, nil, errors.New("dead requeue: --payload is for one dead letter")
	case c.Payload != "":
		payload, err := os.ReadFile(c.Payload)
		if err != nil {
			return 0, nil, fmt.Errorf("dead requeue: --payload: %w", err)
		}
		opts = append(opts, saga.WithPayload(payload))
	}
	rate, err = parseRate(c.Rate)
	return rate, opts, err
}

// parseRate reads a number of messages per second from "5/s", "100/m", "1/h".
func parseRate(text string) (float64, error) {
	if text == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if per == 0 || err != nil || !(n > 0 && n < 1e9) {
		return 0, fmt.Errorf("dead requeue: --rate %s: write it as 5/s, 100/m or 20/h", text)
	}
	return n / per.Seconds(), nil
}

type discardDead struct {
	Seq    []int64 `arg:"" help:"Numbers of the dead letters."`
	Reason string  `required:"" help:"Why; the run's history keeps it."`
}

// Run gives dead letters up.
func (c *discardDead) Run(s *session) error {
	return s.with(func(r *router.Router) error {
		t := tally{s: s, verb: "discarded"}
		for _, seq := range c.Seq {
			t.tell(seq, saga.Discard(s.ctx, r, seq, c.Reason))
		}
		return t.sum()
	})
}

// tally tells what became of each dead letter, and sums up.
type tally struct {
	s      *session
	verb   string
	done   int
	failed []error
}

// settled is what became of one dead letter.
type settled struct {
	Seq    int64  `json:"seq"`
	Result string `json:"result"` // requeued, discarded, or failed
	Error  string `json:"error,omitempty"`
}

func (t *tally) tell(seq int64, err error) {
	out := settled{Seq: seq, Result: t.verb}
	if err != nil {
		out.Result, out.Error = "failed", err.Error()
		t.failed = append(t.failed, err)
	} else {
		t.done++
	}
	switch {
	case t.s.flags.JSON:
		if err := t.s.line(out); err != nil {
			t.failed = append(t.failed, err)
		}
	case err != nil:
		fmt.Fprintf(t.s.out, "%d not %s: %s\n", seq, t.verb, clean(out.Error))
	default:
		fmt.Fprintf(t.s.out, "%d %s\n", seq, t.verb)
	}
}

func (t *tally) sum() error {
	switch n := len(t.failed); {
	case n == 1 && t.done == 0:
		return t.failed[0]
	case n > 0:
		return fmt.Errorf("%d of %d dead letters were not %s", n, n+t.done, t.verb)
	}
	if !t.s.flags.JSON {
		fmt.Fprintf(t.s.out, "%d dead letters %s\n", t.done, t.verb)
	}
	return nil
}
