package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/store/storetest"
)

//semantics:stores memory sqlite

// What becomes of outcomes on their way home, and of what can't be taken in.

// An outcome that is lost is asked for again, and answered from what the
// inbox remembers: the handler is not entered again.
//
// M11, M2, M3
func TestOutcomeThatIsLost(t *testing.T) {
	onStores(t, func(w *world) {
		var ran, lost tally
		w.broker.distort(func(topic string, _ *message.Message) int {
			if isHome(topic) && lost.add("outcome") <= 3 {
				return 0
			}
			return 1
		})
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(o order) saga.Step { ran.add("charge"); return saga.Finish(o.N) }))
		shop.run()
		bank.run()
		require.Equal(w, 5, result[int](w, start(shop, begin, order{"a", 5})))
		ran.once(w, 1)
		require.GreaterOrEqual(w, lost.of("outcome"), 4)
	})
}

// An outcome that comes often is applied once.
//
// M2
func TestOutcomeThatComesOften(t *testing.T) {
	onStores(t, func(w *world) {
		var ran tally
		w.broker.distort(func(topic string, _ *message.Message) int {
			if isHome(topic) {
				return 5
			}
			return 2
		})
		shop, shop2, bank := w.node("shop", nil), w.node("shop", nil), w.node("bank", nil)
		for _, n := range []*node{shop, shop2} {
			saga.Handle(n, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
			saga.Handle(n, done, does(func(o order) saga.Step { ran.add("done " + o.ID); return nil }))
			n.run()
		}
		saga.Handle(bank, charge, does(func(o order) saga.Step {
			ran.add("charge " + o.ID)
			return saga.Do(saga.Send(done, order{o.ID + "x", 0}), saga.Send(done, order{o.ID + "y", 0}))
		}))
		bank.run()
		var runs []saga.Run
		for i := range 20 {
			runs = append(runs, start(shop, begin, order{fmt.Sprint(i), i}))
		}
		for _, r := range runs {
			require.NoError(w, r.Result(w.ctx, nil))
		}
		ran.once(w, 3*20)
	})
}

// The other service ends between the commit of a step and its publication.
//
// M2, M3, M4
func TestOtherProcessEndsBetweenCommitAndPublication(t *testing.T) {
	onStores(t, func(w *world) {
		var ran tally
		faulty := storetest.NewFaulty(w.at("bank"), nil)
		shop := w.node("shop", nil)
		bank := w.node("bank", func(c *router.Config) { c.Opened, c.Drain = faulty, time.Second })
		bind := func(n *node) *node {
			saga.Handle(n, charge, does(func(o order) saga.Step { ran.add("charge"); return saga.Finish(o.N) }))
			return n
		}
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		shop.run()
		bind(bank).run()
		cut := false // once the outcome is stored, the process reaches the store no more
		faulty.Plan(func(c storetest.Call) storetest.Fault {
			if !cut && c.Method == storetest.Commit && ran.of("charge") > 0 {
				cut = true
				return storetest.After
			}
			if cut {
				return storetest.Before
			}
			return storetest.None
		})
		r := start(shop, begin, order{"a", 5})
		w.until("the outcome is stored", func() bool {
			ms := messages(w, w.at("bank"))
			return ran.of("charge") > 0 && len(ms) == 1 && isHome(ms[0].Topic)
		})
		bank.stop()
		w.closeWorkers("bank")
		bind(w.node("bank", nil)).run()
		require.Equal(w, 5, result[int](w, r))
		ran.once(w, 1)
		faulty.Plan(nil) // whoever still waits for the store
	})
}

// A message that is too large for the other store is a dead letter here.
//
// M7
func TestMessageThatIsTooLargeForTheOtherStore(t *testing.T) {
	onStores(t, func(w *world) {
		shop, bank := w.node("shop", nil), w.node("bank", func(c *router.Config) { c.PayloadLimit = 100 })
		saga.Handle(shop, begin, does(func(o order) saga.Step {
			return saga.Send(charge, order{strings.Repeat("x", 200), 1})
		}))
		saga.Handle(bank, charge, does(func(o order) saga.Step { return saga.Finish(o.N) }))
		shop.run()
		bank.run()
		r := start(shop, begin, order{"a", 5})
		letter := w.letter(shop)
		require.Contains(w, letter.Reason, "over the size limit")
		require.NoError(w, saga.Requeue(w.ctx, shop, letter.Seq, saga.WithPayload([]byte(`{"ID":"y","N":7}`))))
		require.Equal(w, 7, result[int](w, r))
	})
}

// An outcome that home refuses is a dead letter there.
//
// M7
func TestOutcomeThatIsTooLargeForHome(t *testing.T) {
	onStores(t, func(w *world) {
		shop, bank := w.node("shop", func(c *router.Config) { c.PayloadLimit = 100 }), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(o order) saga.Step { return saga.Finish(strings.Repeat("x", 200)) }))
		shop.run()
		bank.run()
		start(shop, begin, order{"a", 5})
		letter := w.letter(shop)
		require.Contains(w, letter.Reason, "over the size limit")
		require.NoError(w, saga.Discard(w.ctx, shop, letter.Seq, "seen"))
		w.empty("shop", "bank")
	})
}

// A service that comes later finds what waits for it.
//
// T1, M11
func TestOtherServiceComesLater(t *testing.T) {
	onStores(t, func(w *world) {
		shop, bank := w.node("shop", nil), w.node("bank", nil)
		saga.Handle(shop, begin, does(func(o order) saga.Step { return saga.Send(charge, o) }))
		saga.Handle(bank, charge, does(func(o order) saga.Step { return saga.Finish(o.N) }))
		shop.run()
		var runs []saga.Run
		for i := range 20 {
			runs = append(runs, start(shop, begin, order{fmt.Sprint(i), i}))
		}
		w.until("home asks again", func() bool { return w.broker.peak("bank") > 20 })
		w.broker.wipe()
		bank.run()
		for i, r := range runs {
			require.Equal(w, i, result[int](w, r))
		}
	})
}
