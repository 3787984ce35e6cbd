package inflight

import (
	"context"
	"sync"
	"time"

	"github.com/millrace-go/millrace/transports/link"
)

// Broker is told how messages ended. All of it must be given.
type Broker[K comparable] struct {
	Acknowledge func(ctx context.Context, keys []K) error // they are done
	GiveBack    func(ctx context.Context, keys []K) error // others are to have them

	Failed func(error) // one of these failed; it is tried again
	Worked func()      // all answers were given
}

// batch is how many answers are given at once, at most.
const batch = 1000

// answers are what the broker is to be told.
type answers[K comparable] struct {
	signal chan struct{} // holds a token while answers may be there

	mu         sync.Mutex
	done, back []K
}

// Done says that a message that was received is done.
func (f *Flights[K]) Done(key K) { f.answers.add([]K{key}, nil) }

// GiveBack says that others are to have a message that was received.
func (f *Flights[K]) GiveBack(key K) { f.answers.add(nil, []K{key}) }

func (a *answers[K]) add(done, back []K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.done, a.back = append(a.done, done...), append(a.back, back...)
	select {
	case a.signal <- struct{}{}:
	default:
	}
}

// take returns all answers, which then are the caller's to give.
func (a *answers[K]) take() (done, back []K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	done, back = a.done, a.back
	a.done, a.back = nil, nil
	return done, back
}

// Answer tells the broker how messages ended; what comes together while it is
// told goes as one batch. What fails is tried again until life ends, and then
// once more. It returns then.
func (f *Flights[K]) Answer(life context.Context, b Broker[K]) {
	var pause link.Pauses
	for life.Err() == nil {
		select {
		case <-f.answers.signal:
		case <-life.Done():
			continue
		}
		if err := f.answer(b); err != nil {
			b.Failed(err)
			pause.Wait(life)
			continue
		}
		pause.Reset()
		b.Worked()
	}
	if err := f.answer(b); err != nil {
		b.Failed(err) // others get these messages later
	}
}

// answer gives the answers that are there, within 5 s. Those that it could not
// give are there again.
func (f *Flights[K]) answer(b Broker[K]) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	done, back := f.answers.take()
	left, err := f.settle(ctx, done, b.Acknowledge)
	if err != nil {
		f.answers.add(left, back)
		return err
	}
	left, err = f.settle(ctx, back, b.GiveBack)
	if err != nil {
		f.answers.add(nil, left)
	}
	return err
}

// settle tells the broker of all keys, piece by piece. It returns those that
// are left when that fails.
func (f *Flights[K]) settle(ctx context.Context, keys []K, tell func(context.Context, []K) error) ([]K, error) {
	for len(keys) > 0 {
		n := min(len(keys), batch)
		if err := tell(ctx, keys[:n]); err != nil {
			return keys, err
		}
		f.forget(keys[:n])
		keys = keys[n:]
	}
	return nil, nil
}
