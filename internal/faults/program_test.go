package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
)

// program is a saga in which everything occurs: forks, retries, joins, timers,
// state, messages away from the run, and runs that fail and are undone.
type program struct {
	order   saga.Task[int]
	pick    saga.Task[int]
	picked  saga.Task[joined]
	charge  saga.Task[int]
	ship    saga.Task[joined]
	expired saga.Task[joined]
	remind  saga.Task[int]
	refuse  saga.Task[int]
	undo    saga.Task[string]
	book    saga.Task[entry]
	ledger  saga.Stateful[sums]

	packed, paid, reminded saga.Event[int]

	mu   sync.Mutex
	done map[string]int // how often a message's handler has returned a step
}

type joined = saga.Joined[int]

type entry struct {
	Ledger string
	Run    int
}

type sums struct {
	Count int
	Sum   int
}

// newProgram returns the program as a service of a name.
func newProgram(service string) *program {
	return &program{
		order: saga.NewTask[int](service + "/order"), pick: saga.NewTask[int](service + "/pick"),
		picked: saga.NewTask[joined](service + "/picked"), charge: saga.NewTask[int](service + "/charge"),
		ship: saga.NewTask[joined](service + "/ship"), expired: saga.NewTask[joined](service + "/expired"),
		remind: saga.NewTask[int](service + "/remind"), refuse: saga.NewTask[int](service + "/refuse"),
		undo: saga.NewTask[string](service + "/undo"), book: saga.NewTask[entry](service + "/book"),
		ledger: saga.NewStateful[sums](service + "/ledger"),
		packed: saga.NewEvent[int]("packed"), paid: saga.NewEvent[int]("paid"), reminded: saga.NewEvent[int]("reminded"),
		done: map[string]int{},
	}
}

// fails says which runs fail, as planned.
func fails(i int) bool { return i%7 == 3 }

func width(i int) int { return 3 + i%3 }

// ledgers is how many ledgers there are.
const ledgers = 4

// handler counts the steps that a task's handler returns. An error, such as
// that of the store while the handler asked it, is none.
func handler[T any](r *router.Router, p *program, task saga.Task[T], fn saga.Handler[T]) {
	saga.Handle(r, task, func(ctx context.Context, v T) (saga.Step, error) {
		s, err := fn(ctx, v)
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.done[saga.MessageID(ctx)]++
		}
		return s, err
	})
}

// twice returns how many messages' handlers have returned a step more than
// once.
func (p *program) twice() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, times := range p.done {
		if times > 1 {
			n++
		}
	}
	return n
}

func (p *program) bind(r *router.Router) {
	handler(r, p, p.order, func(_ context.Context, i int) (saga.Step, error) {
		picks := make([]int, width(i))
		for k := range picks {
			picks[k] = k
		}
		f := saga.Fork(p.pick, picks...)
		return saga.Do(f, saga.Join(saga.AllOf(f), p.picked, i), saga.Undo(p.undo, "order"),
			saga.Send(p.charge, i), saga.Send(p.remind, i).After(5*time.Millisecond).Named("reminder"),
			saga.Send(p.book, entry{fmt.Sprint("ledger-", i%ledgers), i}).Away(),
			saga.Join(saga.All(p.packed, p.paid, p.reminded), p.ship, i).Within(time.Hour, p.expired)), nil
	})
	handler(r, p, p.pick, func(ctx context.Context, k int) (saga.Step, error) {
		if k == 1 && saga.Attempt(ctx) < 3 {
			return nil, errors.New("dropped it")
		}
		return saga.Return(k), nil
	})
	handler(r, p, p.picked, p.pickedAll)
	handler(r, p, p.charge, func(_ context.Context, i int) (saga.Step, error) {
		return saga.Do(saga.Emit(p.paid, i), saga.Undo(p.undo, "charge")), nil
	})
	handler(r, p, p.remind, func(_ context.Context, i int) (saga.Step, error) {
		if fails(i) {
			return saga.Send(p.refuse, i), nil
		}
		return saga.Emit(p.reminded, i), nil
	})
	handler(r, p, p.refuse, func(context.Context, int) (saga.Step, error) {
		return saga.Fail("as planned"), nil
	})
	handler(r, p, p.ship, func(_ context.Context, j joined) (saga.Step, error) { return saga.Finish(j.Data), nil })
	handler(r, p, p.expired, func(context.Context, joined) (saga.Step, error) { return saga.Fail("an hour has passed"), nil })
	handler(r, p, p.undo, func(context.Context, string) (saga.Step, error) { return nil, nil })
	saga.HandleState(r, p.ledger, p.book, func(e entry) string { return e.Ledger },
		func(_ context.Context, s *sums, e entry) (saga.Step, error) {
			s.Count++
			s.Sum += e.Run
			return nil, nil
		}, saga.Starts())
}

func (p *program) pickedAll(ctx context.Context, j joined) (saga.Step, error) {
	n := 0
	for o, err := range saga.Results[int](ctx, j) {
		if err != nil {
			return nil, err // the store's: no attempt
		}
		if o.Value != o.Index {
			return saga.Fail(fmt.Sprint("result ", o.Index, " is ", o.Value)), nil
		}
		n++
	}
	if n != width(j.Data) || j.Done != n {
		return saga.Fail(fmt.Sprint("picked ", n, " of ", j.Total)), nil
	}
	return saga.Emit(p.packed, n), nil
}
