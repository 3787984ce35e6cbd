package crash

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	_ "github.com/millrace-go/millrace/store/sqlite"
)

// childEnv makes this test binary a child: it is the URL of the store.
const childEnv = "MILLRACE_TEST_CRASH_CHILD"

// child runs the program until its standard input is closed, and starts the
// runs that it is asked for. It prints a line for what it has done.
func child(url string, in io.Reader) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := router.New(ctx, router.Config{
		Store: url, Lease: time.Minute, Poll: 10 * time.Millisecond, Concurrency: 32,
		Policy: step.Policy{Delays: []time.Duration{2 * time.Millisecond}, Attempts: 5},
	})
	if err != nil {
		return err
	}
	defer r.Close()
	bind(r)
	if _, err := r.DB().ExecContext(ctx, "CREATE TABLE IF NOT EXISTS records (id TEXT PRIMARY KEY, run TEXT, task TEXT)"); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	go func() {
		orders := bufio.NewScanner(in)
		for orders.Scan() {
			var from, to int
			if _, err := fmt.Sscan(orders.Text(), &from, &to); err != nil {
				continue
			}
			if err := startAll(ctx, r, from, to); err != nil {
				fmt.Println("error", err)
			}
		}
		cancel()
	}()
	return <-done
}

// startAll starts runs, each by its own id: it may be told to more than once.
func startAll(ctx context.Context, r *router.Router, from, to int) error {
	for i := from; i < to; i++ {
		if _, err := saga.Start(ctx, r, order, i, saga.ID(runID(i)), saga.OnDead(step.Compensate)); err != nil {
			return err
		}
		fmt.Println("started", i)
	}
	return nil
}

func runID(i int) string { return fmt.Sprintf("run-%05d", i) }

type joined = saga.Joined[int]

type entry struct {
	Ledger string
	Run    int
}

type sums struct {
	Count int
	Sum   int
}

var (
	order   = saga.NewTask[int]("shop/order")
	pick    = saga.NewTask[int]("shop/pick")
	picked  = saga.NewTask[joined]("shop/picked")
	charge  = saga.NewTask[int]("shop/charge")
	ship    = saga.NewTask[joined]("shop/ship")
	expired = saga.NewTask[joined]("shop/expired")
	remind  = saga.NewTask[int]("shop/remind")
	refuse  = saga.NewTask[int]("shop/refuse")
	undo    = saga.NewTask[string]("shop/undo")
	book    = saga.NewTask[entry]("shop/book")
	ledger  = saga.NewStateful[sums]("shop/ledger")

	packed   = saga.NewEvent[int]("packed")
	paid     = saga.NewEvent[int]("paid")
	reminded = saga.NewEvent[int]("reminded")
)

// fails says which runs fail, as planned.
func fails(i int) bool { return i%7 == 3 }

// large says which runs have a fork that is staged.
func large(i int) bool { return i%50 == 5 }

func width(i int) int {
	if large(i) {
		return 1100
	}
	return 3 + i%5
}

// record writes down that a message had its step, in the step's own commit: a
// second one for the same message can't be stored.
func record(ctx context.Context, tx *sql.Tx, task string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO records (id, run, task) VALUES (?, ?, ?)", saga.MessageID(ctx), saga.RunID(ctx), task)
	return err
}

// recorded is a handler whose step is recorded.
func recorded[T any](task string, fn saga.Handler[T]) func(context.Context, *sql.Tx, T) (saga.Step, error) {
	return func(ctx context.Context, tx *sql.Tx, v T) (saga.Step, error) {
		s, err := fn(ctx, v)
		if err != nil {
			return nil, err
		}
		return s, record(ctx, tx, task)
	}
}

func bind(r *router.Router) {
	saga.HandleTx(r, order, recorded("order", func(_ context.Context, i int) (saga.Step, error) {
		f := saga.ForkSeq(pick, func(yield func(int) bool) {
			for k := range width(i) {
				if !yield(k) {
					return
				}
			}
		})
		s := saga.Do(f, saga.Join(saga.AllOf(f), picked, i), saga.Undo(undo, "order"),
			saga.Send(charge, i), saga.Send(remind, i).After(5*time.Millisecond).Named("reminder"),
			saga.Send(book, entry{fmt.Sprint("ledger-", i%4), i}).Away(),
			saga.Join(saga.All(packed, paid, reminded), ship, i).Within(time.Hour, expired))
		return s, nil
	}))
	saga.Handle(r, pick, func(ctx context.Context, k int) (saga.Step, error) {
		if k == 1 && saga.Attempt(ctx) < 3 {
			return nil, errors.New("dropped it")
		}
		return saga.Return(k), nil
	})
	saga.HandleTx(r, picked, recorded("picked", pickedAll))
	saga.HandleTx(r, charge, recorded("charge", func(_ context.Context, i int) (saga.Step, error) {
		return saga.Do(saga.Emit(paid, i), saga.Undo(undo, "charge")), nil
	}))
	saga.Handle(r, remind, func(_ context.Context, i int) (saga.Step, error) {
		if fails(i) {
			return saga.Send(refuse, i), nil
		}
		return saga.Emit(reminded, i), nil
	})
	saga.Handle(r, refuse, func(context.Context, int) (saga.Step, error) {
		return nil, saga.Permanent(errors.New("as planned"))
	})
	saga.HandleTx(r, ship, recorded("ship", func(_ context.Context, j joined) (saga.Step, error) {
		return saga.Finish(j.Data), nil
	}))
	saga.HandleTx(r, expired, recorded("expired", func(context.Context, joined) (saga.Step, error) {
		return saga.Fail("an hour has passed"), nil
	}))
	saga.HandleTx(r, undo, recorded("undo", func(context.Context, string) (saga.Step, error) { return nil, nil }))
	saga.HandleState(r, ledger, book, func(e entry) string { return e.Ledger },
		func(_ context.Context, s *sums, e entry) (saga.Step, error) {
			s.Count++
			s.Sum += e.Run
			return nil, nil
		}, saga.Starts())
}

func pickedAll(ctx context.Context, j joined) (saga.Step, error) {
	n := 0
	for o, err := range saga.Results[int](ctx, j) {
		if err != nil {
			return nil, err
		}
		if o.Value != o.Index {
			return saga.Fail(fmt.Sprint("result ", o.Index, " is ", o.Value)), nil
		}
		n++
	}
	if n != width(j.Data) || j.Done != n {
		return saga.Fail(fmt.Sprint("picked ", n, " of ", j.Total)), nil
	}
	return saga.Emit(packed, n), nil
}

func childMain() {
	if err := child(os.Getenv(childEnv), os.Stdin); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}
