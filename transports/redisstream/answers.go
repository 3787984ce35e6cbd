package redisstream

import (
	"context"
	_ "embed"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed scripts/giveback.lua
var giveBackText string

var giveBackScript = redis.NewScript(giveBackText)

// answers are what the server is to be told about entries. It is safe for
// concurrent use.
type answers struct {
	signal chan struct{} // holds a token while answers may be there

	mu             sync.Mutex
	finished, back []string
}

func newAnswers() *answers { return &answers{signal: make(chan struct{}, 1)} }

func (a *answers) done(id string)     { a.add([]string{id}, nil) }
func (a *answers) giveBack(id string) { a.add(nil, []string{id}) }

func (a *answers) add(finished, back []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.finished = append(a.finished, finished...)
	a.back = append(a.back, back...)
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// take returns all answers, which then are the caller's to give.
func (a *answers) take() (finished, back []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	finished, back = a.finished, a.back
	a.finished, a.back = nil, nil
	return finished, back
}

// writeAnswers sends what comes together while the last answers are under way
// as one batch. What can't be sent is tried again until life ends, and then
// once more.
func (x *subscription) writeAnswers(life context.Context) {
	defer x.uninvolved(x.answers)
	var pause pauses
	for life.Err() == nil {
		select {
		case <-x.answers.signal:
		case <-life.Done():
			continue
		}
		if err := x.answer(); err != nil {
			x.fail(x.answers, err)
			pause.wait(life)
			continue
		}
		pause.reset()
		x.worked(x.answers)
	}
	if err := x.answer(); err != nil {
		x.fail(x.answers, err) // others get these messages later
	}
}

// answer gives the answers that are there, within 5 s. Those that it could not
// give are there again.
func (x *subscription) answer() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	finished, back := x.answers.take()
	left, err := x.settle(ctx, finished, x.finish)
	if err != nil {
		x.answers.add(left, back)
		return err
	}
	left, err = x.settle(ctx, back, x.giveBack)
	if err != nil {
		x.answers.add(nil, left)
	}
	return err
}

// settle does something to all ids, piece by piece. It returns those that are
// left when that fails.
func (x *subscription) settle(ctx context.Context, ids []string, do func(context.Context, []string) error) ([]string, error) {
	for len(ids) > 0 {
		n := min(len(ids), chunk)
		if err := do(ctx, ids[:n]); err != nil && !gone(err) {
			return ids, err
		}
		x.flights.Forget(ids[:n])
		ids = ids[n:]
	}
	return nil, nil
}

// finish acknowledges entries and deletes them, both or neither.
func (x *subscription) finish(ctx context.Context, ids []string) error {
	if x.t.cfg.Keep {
		return x.t.client.XAck(ctx, x.stream, x.group, ids...).Err()
	}
	_, err := x.t.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.XAck(ctx, x.stream, x.group, ids...)
		p.XDel(ctx, x.stream, ids...)
		return nil
	})
	return err
}

// giveBack lets others have entries. Where the stream is read by other groups
// too, they stay in their place, and are marked as left alone for long.
func (x *subscription) giveBack(ctx context.Context, ids []string) error {
	if x.t.cfg.Keep {
		args := []any{"XCLAIM", x.stream, x.group, x.consumer, 0}
		for _, id := range ids {
			args = append(args, id)
		}
		args = append(args, "IDLE", (2 * x.t.cfg.ClaimAfter).Milliseconds(), "JUSTID")
		return x.t.client.Do(ctx, args...).Err()
	}
	args := []any{x.group, x.consumer, uuidField}
	slices.Sort(ids) // about in the order in which they came
	for _, id := range ids {
		args = append(args, id)
	}
	return giveBackScript.Run(ctx, x.t.client, []string{x.stream}, args...).Err()
}
