package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// RequeueOption sets how a dead letter is sent again.
type RequeueOption func(*step.DeadOp)

// NotBefore makes the message due at t, by the store's clock. Default: at
// once.
func NotBefore(t time.Time) RequeueOption { return func(op *step.DeadOp) { op.At = store.At(t) } }

// WithPayload replaces the message's payload, as encoded by the host's codec.
// The old one is kept (see [DeadLetter.Edits]), and stands in the history of
// the run.
func WithPayload(payload []byte) RequeueOption {
	return func(op *step.DeadOp) { op.Payload = &payload }
}

// ErrEnded says that a run has ended, or is about to.
var ErrEnded = errors.New("its run has ended, or is about to")

// Requeue sends a dead letter again: as a new message with the old id and a
// fresh count of attempts; those that failed are kept. Errors: [ErrNotFound]
// when there is no such letter; [ErrEnded] when its run takes no steps any
// more, so that it can be discarded only; step.ErrTooLarge for a payload over
// the limit. With any of these nothing is written.
func Requeue(ctx context.Context, h Host, seq int64, opts ...RequeueOption) error {
	op := &step.DeadOp{Seq: seq}
	for _, o := range opts {
		o(op)
	}
	return settleDead(ctx, h, step.Requeue, op)
}

// Discard gives a dead letter up, for a reason that its run's history keeps.
// Its run, if it waits for it, goes on without it. [ErrNotFound] when there is
// no such letter.
func Discard(ctx context.Context, h Host, seq int64, reason string) error {
	return settleDead(ctx, h, step.Discard, &step.DeadOp{Seq: seq, Reason: reason})
}

func settleDead(ctx context.Context, h Host, verb step.Verb, op *step.DeadOp) error {
	v, err := h.Commit(ctx, &step.Outcome{Verb: verb, Dead: op})
	switch {
	case err != nil:
	case v.Code == step.Missing:
		err = ErrNotFound
	case v.Code == step.Invalid && errors.Is(v.Err, store.ErrCorrupt):
		err = v.Err
	case v.Code == step.Invalid:
		err = fmt.Errorf("%w; it can only be discarded", ErrEnded)
	}
	if err != nil {
		return fmt.Errorf("%s dead letter %d: %w", verb, op.Seq, err)
	}
	return nil
}

// RequeueAll sends all dead letters again that are there when it begins, about in
// their order, perSecond of them a second by their due times; 0 sends them all
// at once. each, if not nil, is told of every letter, with the error if it
// could not be sent: [ErrEnded], [ErrNotFound] if somebody else was faster, or
// store.ErrCorrupt. It returns how many were sent. Its own error is the
// store's; what was sent until then stays sent.
func RequeueAll(ctx context.Context, h Host, perSecond float64, each func(DeadLetter, error)) (sent int, err error) {
	last, err := lastDead(ctx, h)
	if err != nil || last == 0 {
		return 0, err
	}
	p := pacer{perSecond: perSecond}
	for after := int64(0); ; {
		page, err := deadPage(ctx, h, after, 200)
		if err != nil || len(page.letters) == 0 {
			return sent, err
		}
		p.begin(page.now)
		after = page.letters[len(page.letters)-1].Seq
		page.cutBehind(last)
		n, err := page.requeue(ctx, h, &p, each)
		if sent += n; err != nil || !page.more {
			return sent, err
		}
	}
}

// pacer spreads messages over time.
type pacer struct {
	perSecond float64
	from      store.Instant
	n         int
}

func (p *pacer) begin(now store.Instant) {
	if p.from == 0 {
		p.from = now
	}
}

func (p *pacer) next() store.Instant {
	if p.perSecond <= 0 {
		return 0
	}
	p.n++
	return p.from.Add(time.Duration(float64(p.n-1) / p.perSecond * float64(time.Second)))
}

// lastDead returns the number of the newest dead letter, 0 when there is none.
// One that dies again gets a new number, behind it.
func lastDead(ctx context.Context, h Host) (int64, error) {
	q := store.RowQuery{Kind: store.Dead, Newest: true}
	found, err := h.Find(ctx, store.Query{Rows: &q, Limit: 1})
	if err != nil {
		return 0, fmt.Errorf("list dead letters: %w", err)
	}
	if len(found.Rows) == 0 {
		return 0, nil
	}
	seq, _ := store.ParseNum(found.Rows[0].Name)
	return seq, nil
}

// cutBehind leaves out what came later.
func (p *letterPage) cutBehind(last int64) {
	for i, d := range p.letters {
		if d.Seq > last {
			p.letters, p.more = p.letters[:i], false
			return
		}
	}
}

// requeue sends a page of letters. They are committed together where possible.
func (p *letterPage) requeue(ctx context.Context, h Host, pace *pacer, each func(DeadLetter, error)) (sent int, err error) {
	answers := make([]chan error, len(p.letters))
	for i, d := range p.letters {
		answers[i] = make(chan error, 1)
		if d.err != nil {
			answers[i] <- d.err
			continue
		}
		op := &step.DeadOp{Seq: d.Seq, At: pace.next()}
		go func() { answers[i] <- settleDead(ctx, h, step.Requeue, op) }()
	}
	for i, d := range p.letters {
		failed := <-answers[i]
		switch {
		case failed == nil:
			sent++
		case !ownFault(failed):
			err = failed
		}
		if each != nil {
			each(d.DeadLetter, failed)
		}
	}
	return sent, err
}

// ownFault reports whether only the one letter could not be sent.
func ownFault(err error) bool {
	return errors.Is(err, ErrEnded) || errors.Is(err, ErrNotFound) || errors.Is(err, store.ErrCorrupt)
}
