package relay_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store"
)

//semantics:stores memory sqlite

// Two services on two stores: shop, where runs live, and bank.

type order struct {
	ID string
	N  int
}

var (
	begin   = saga.NewTask[order]("shop/begin")
	ship    = saga.NewTask[saga.Joined[order]]("shop/ship")
	done    = saga.NewTask[order]("shop/done")
	charge  = saga.NewTask[order]("bank/charge")
	check   = saga.NewTask[order]("bank/check")
	refund  = saga.NewTask[order]("bank/refund")
	paid    = saga.NewEvent[int]("paid")
	checked = saga.NewEvent[int]("checked")
)

// does makes a handler of a step.
func does(s func(o order) saga.Step) saga.Handler[order] {
	return func(_ context.Context, o order) (saga.Step, error) { return s(o), nil }
}

// isHome reports whether a topic is that of outcomes on their way home.
func isHome(topic string) bool { return strings.HasPrefix(topic, "millrace.home.") }

// M2, F10
func TestChainAcrossStores(t *testing.T) {
	onStores(t, func(w *world) {
		var ran tally
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { ran.add("begin " + o.ID); return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(o order) saga.Step { ran.add("charge " + o.ID); o.N *= 2; return saga.Send(check, o) }))
		saga.Handle(bank, check, does(func(o order) saga.Step { ran.add("check " + o.ID); o.N++; return saga.Send(done, o) }))
		saga.Handle(shop, done, does(func(o order) saga.Step { ran.add("done " + o.ID); return saga.Finish(o.N) }))
		shop.run()
		bank.run()
		var runs []saga.Run
		for i := range 30 {
			runs = append(runs, start(shop, begin, order{fmt.Sprint(i), i}))
		}
		for i, r := range runs {
			require.Equal(w, 2*i+1, result[int](w, r))
		}
		ran.once(w, 4*30)
		w.empty("shop", "bank")
		history, err := runs[0].History(w.ctx)
		require.NoError(w, err)
		require.Len(w, history, 5, "the start and four steps are in one history")
	})
}

// M11, M2, F10
func TestStepsAcrossStoresWhileAllIsLostAndRepeated(t *testing.T) {
	onStores(t, func(w *world) {
		var ran tally
		var n atomic.Int64
		w.broker.distort(func(string, *message.Message) int { return int(n.Add(1) % 3) }) // lost, once, twice
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(o order) saga.Step { ran.add(o.ID); return saga.Send(done, o) }))
		saga.Handle(shop, done, does(func(o order) saga.Step { return saga.Finish(o.N) }))
		shop.run()
		bank.run()
		var runs []saga.Run
		for i := range 60 {
			runs = append(runs, start(shop, begin, order{fmt.Sprint(i), i}))
			if i%15 == 0 {
				w.broker.wipe()
			}
		}
		for i, r := range runs {
			require.Equal(w, i, result[int](w, r))
		}
		ran.once(w, 60)
	})
}

// F1, F2, F5, F9, F10
func TestForkAndJoinAcrossStores(t *testing.T) {
	onStores(t, func(w *world) {
		far := saga.NewTask[int]("bank/child")
		joined := saga.NewTask[saga.Joined[order]]("shop/joined")
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			f := saga.ForkSeq(far, numbers(0, o.N))
			return saga.Do(f, saga.Join(saga.AllOf(f), joined, o))
		}))
		saga.Handle(bank, far, func(_ context.Context, v int) (saga.Step, error) {
			if v == 3 {
				return nil, saga.Permanent(errors.New("not three"))
			}
			return saga.Return(v * v), nil
		})
		saga.Handle(shop, joined, func(ctx context.Context, j saga.Joined[order]) (saga.Step, error) {
			sum := 0
			for out, err := range saga.Results[int](ctx, j) {
				if err != nil {
					return nil, err
				}
				sum += out.Value
			}
			return saga.Finish([]int{j.Total, j.Done, j.Failed, sum}), nil
		})
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 6})
		require.Equal(w, []int{6, 5, 1, 0 + 1 + 4 + 16 + 25}, result[[]int](w, r))
	})
}

// What is emitted there joins here, and what is forked and joined there too.
//
// F2, F3, F10
func TestEventsAndForksOfTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		far, all := saga.NewTask[int]("bank/child"), saga.NewTask[saga.Joined[int]]("bank/all")
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			return saga.Do(saga.Send(charge, o), saga.Send(check, o), saga.Join(saga.All(paid, checked), ship, o))
		}))
		saga.Handle(bank, charge, does(func(o order) saga.Step {
			f := saga.Fork(far, 1, 2, 3)
			return saga.Do(f, saga.Join(saga.AllOf(f), all, 7))
		}))
		saga.Handle(bank, far, func(context.Context, int) (saga.Step, error) { return nil, nil })
		saga.Handle(bank, all, func(_ context.Context, j saga.Joined[int]) (saga.Step, error) {
			return saga.Emit(paid, 10*j.Data+j.Done), nil
		})
		saga.Handle(bank, check, does(func(order) saga.Step { return saga.Emit(checked, 1) }))
		saga.Handle(shop, ship, func(ctx context.Context, j saga.Joined[order]) (saga.Step, error) {
			v, _, ok, err := paid.From(ctx, j.Events)
			require.True(w, ok)
			return saga.Finish(v), err
		})
		shop.run()
		bank.run()
		require.Equal(w, 73, result[int](w, start(shop, begin, order{"a", 1})))
	})
}

// A fork that is too large to travel is refused, and says so.
func TestLargeForkOfTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		far := saga.NewTask[int]("bank/child")
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(order) saga.Step { return saga.ForkSeq(far, numbers(0, 501)) }))
		saga.Handle(bank, far, func(context.Context, int) (saga.Step, error) { return nil, nil })
		shop.run()
		bank.run()
		start(shop, begin, order{"a", 1})
		letter := w.letter(shop)
		require.Contains(w, letter.Reason, "a fork of 501 children is too large")
		require.NoError(w, saga.Discard(w.ctx, shop, letter.Seq, "seen"))
		w.empty("shop", "bank")
	})
}

// letter waits for the one dead letter of a process's store.
func (w *world) letter(n *node) (letter saga.DeadLetter) {
	w.Helper()
	w.until("a dead letter is there", func() bool {
		for l, err := range saga.DeadLetters(w.ctx, n, 0) {
			require.NoError(w, err)
			letter = l
			return true
		}
		return false
	})
	return letter
}

// Attempts are made there, by the policy there; what fails for good is a dead
// letter here, which can be sent again.
//
// R1, R4, F10
func TestFailuresOnTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		var attempts tally
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, func(ctx context.Context, o order) (saga.Step, error) {
			if n := attempts.add(saga.MessageID(ctx)); n <= 4 { // the policy allows three
				return nil, fmt.Errorf("failure %d", n)
			}
			return saga.Finish(o.N), nil
		})
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 5})
		letter := w.letter(shop)
		require.Contains(w, letter.Reason, "failure 3")
		require.Contains(w, letter.Reason, "attempt 3")
		require.Equal(w, r.ID, letter.Message.RunID)
		w.empty("bank")
		require.NoError(w, saga.Requeue(w.ctx, shop, letter.Seq))
		require.Equal(w, 5, result[int](w, r))
		require.Equal(w, 5, attempts.of(letter.Message.ID))
	})
}

// Undos are registered by steps there, and carried out there, in their order.
//
// C1, F10
func TestCompensationAcrossStores(t *testing.T) {
	onStores(t, func(w *world) {
		undone := make(chan string, 8)
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			return saga.Do(saga.Undo(refund, order{"first", 0}), saga.Send(charge, o))
		}))
		saga.Handle(bank, charge, does(func(o order) saga.Step {
			return saga.Do(saga.Undo(refund, order{"second", 0}), saga.Send(done, o))
		}))
		saga.Handle(shop, done, does(func(order) saga.Step { return saga.Fail("no") }))
		saga.Handle(bank, refund, does(func(o order) saga.Step { undone <- o.ID; return nil }))
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 5})
		require.ErrorIs(w, r.Result(w.ctx, nil), saga.ErrFailed)
		require.Equal(w, "second", get(w, undone))
		require.Equal(w, "first", get(w, undone))
		require.Empty(w, undone)
	})
}

// A step that is under way on the other store when its run fails ends, and the
// undos that it registers count.
//
// C1, N3
func TestRunFailsWhileAStepIsUnderWayOnTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		entered, leave, undone := make(chan struct{}, 1), make(chan struct{}), make(chan string, 8)
		var ran tally
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, func(ctx context.Context, o order) (saga.Step, error) {
			ran.add("charge")
			entered <- struct{}{}
			<-leave
			return saga.Do(saga.Undo(refund, o), saga.Send(done, o)), nil
		})
		saga.Handle(shop, done, does(func(order) saga.Step { ran.add("done"); return nil }))
		saga.Handle(bank, refund, does(func(o order) saga.Step { undone <- o.ID; return nil }))
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 5})
		get(w, entered)
		require.NoError(w, r.Cancel(w.ctx, "enough"))
		asked := w.broker.total("bank")
		w.until("home asks again", func() bool { return w.broker.total("bank") > asked+1 })
		require.Equal(w, store.Failing, w.status(r, store.Failing).Status)
		close(leave)
		require.ErrorIs(w, r.Result(w.ctx, nil), saga.ErrCancelled)
		require.Equal(w, "a", get(w, undone))
		ran.once(w, 1)
	})
}

// A timer that is with the other store can't be taken back.
//
// T2
func TestTimerThatIsWithTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		entered, leave := make(chan struct{}, 1), make(chan struct{})
		cancel, late := saga.NewTask[order]("shop/cancel"), saga.NewTask[order]("shop/late")
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			return saga.Do(saga.Send(charge, o).Named("timer"), saga.Send(cancel, o))
		}))
		saga.Handle(bank, charge, does(func(order) saga.Step { entered <- struct{}{}; <-leave; return nil }))
		saga.Handle(shop, cancel, does(func(o order) saga.Step {
			<-entered
			return saga.Do(saga.Cancel("timer").Else(saga.Send(late, o)), saga.Move("timer", time.Hour))
		}))
		saga.Handle(shop, late, does(func(order) saga.Step { close(leave); return nil }))
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 5})
		require.NoError(w, r.Result(w.ctx, nil))
		history, err := r.History(w.ctx)
		require.NoError(w, err)
		var missed []string
		for _, e := range history {
			missed = append(missed, e.Missed...)
		}
		require.Equal(w, []string{"timer", "timer"}, missed)
	})
}

// The writes of a handler there, and its outcome, are in one commit.
//
// L5, F10
func TestHandleTxOnTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		if w.kind == "memory" {
			w.Skip("it has no SQL")
		}
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		_, err := bank.DB().ExecContext(w.ctx, "CREATE TABLE charges (id TEXT PRIMARY KEY)")
		require.NoError(w, err)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.HandleTx(bank, charge, func(ctx context.Context, tx *sql.Tx, o order) (saga.Step, error) {
			_, err := tx.ExecContext(ctx, "INSERT INTO charges VALUES (?)", o.ID)
			return saga.Finish(o.N), err
		})
		shop.run()
		bank.run()
		require.Equal(w, 5, result[int](w, start(shop, begin, order{"a", 5})))
		var n int
		require.NoError(w, bank.DB().QueryRowContext(w.ctx, "SELECT count(*) FROM charges").Scan(&n))
		require.Equal(w, 1, n)
	})
}

type account struct{ Sum int }

// A message for a stateful saga there takes effect there; the run here goes on.
//
// C2, F10
func TestStatefulSagaOnTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		const runs, amount = 20, 3
		accounts := saga.NewStateful[account]("bank/account")
		deposit := saga.NewTask[order]("bank/deposit")
		closing := saga.NewTask[order]("bank/close")
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(deposit, order{"alice", amount}) }))
		id := func(o order) string { return o.ID }
		saga.HandleState(bank, accounts, deposit, id, func(_ context.Context, a *account, o order) (saga.Step, error) {
			a.Sum += o.N
			return nil, nil
		}, saga.Starts())
		saga.HandleState(bank, accounts, closing, id, func(_ context.Context, a *account, _ order) (saga.Step, error) {
			return saga.Finish(a.Sum), nil
		})
		shop.run()
		bank.run()
		for i := range runs {
			r := start(shop, begin, order{fmt.Sprint(i), 0})
			require.NoError(w, r.Result(w.ctx, nil))
		}
		require.NoError(w, saga.Enqueue(w.ctx, bank, "", closing, order{"alice", 0}))
		var sums []int
		w.until("the saga has ended", func() bool {
			sums = nil
			for row, err := range saga.Runs(w.ctx, bank, store.RunQuery{Status: []store.Status{store.Finished}}) {
				require.NoError(w, err)
				var v int
				require.NoError(w, saga.JSON{}.Unmarshal(row.Result, &v))
				sums = append(sums, v)
			}
			return len(sums) == 1
		})
		require.Equal(w, []int{runs * amount}, sums)
	})
}

// A message that waits for its retry in a saga over there, which ends: home is
// told, and its run goes on.
//
// C2, N1
func TestStatefulSagaEndsWithAStepOfAnotherStore(t *testing.T) {
	onStores(t, func(w *world) {
		accounts := saga.NewStateful[account]("bank/account")
		open, deposit := saga.NewTask[order]("bank/open"), saga.NewTask[order]("bank/deposit")
		failed := make(chan struct{}, 1)
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(deposit, o) }))
		id := func(o order) string { return o.ID }
		saga.HandleState(bank, accounts, open, id, func(_ context.Context, a *account, o order) (saga.Step, error) {
			if o.N > 0 {
				return saga.Finish(a.Sum), nil
			}
			return nil, nil
		}, saga.Starts())
		saga.HandleState(bank, accounts, deposit, id, func(context.Context, *account, order) (saga.Step, error) {
			failed <- struct{}{}
			return nil, saga.RetryAfter(time.Hour, errors.New("not today"))
		})
		shop.run()
		bank.run()
		require.NoError(w, saga.Enqueue(w.ctx, bank, "", open, order{"alice", 0}))
		r := start(shop, begin, order{"alice", 1})
		get(w, failed)
		w.until("the attempt is stored", func() bool {
			ms := messages(w, w.at("bank"))
			return len(ms) == 1 && ms[0].Attempt == 1
		})
		require.NoError(w, saga.Enqueue(w.ctx, bank, "", open, order{"alice", 1}))
		require.NoError(w, r.Result(w.ctx, nil))
	})
}

// One holder of a key runs at a time, on the other store too.
//
// C2, F10
func TestExclusiveKeyOnTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		var inside, most atomic.Int64
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			var all []saga.Step
			for range 20 {
				all = append(all, saga.Send(charge, o).Key("till"))
			}
			return saga.Do(all...)
		}))
		saga.Handle(bank, charge, does(func(order) saga.Step {
			most.Store(max(most.Load(), inside.Add(1)))
			<-time.After(time.Millisecond) // room for another
			inside.Add(-1)
			return nil
		}))
		shop.run()
		bank.run()
		require.NoError(w, start(shop, begin, order{"a", 1}).Result(w.ctx, nil))
		require.EqualValues(w, 1, most.Load())
	})
}
