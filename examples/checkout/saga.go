package main

import (
	"context"
	"errors"
	"time"

	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
)

// The way of an order: it is packed and billed at once; when both are done, it
// is shipped.
var (
	Place  = saga.NewTask[Order]("checkout/place")
	Pack   = saga.NewTask[Order]("checkout/pack")
	Bill   = saga.NewTask[Order]("checkout/bill")
	Ship   = saga.NewTask[saga.Joined[Order]]("checkout/ship")
	Expire = saga.NewTask[saga.Joined[Order]]("checkout/expire")

	Packed = saga.NewEvent[string]("packed")
	Paid   = saga.NewEvent[Receipt]("paid")
)

// What undoes it.
var (
	Unpack    = saga.NewTask[Order]("checkout/unpack")
	Refund    = saga.NewTask[Order]("checkout/refund")
	Apologize = saga.NewTask[Order]("checkout/apologize")
)

// notPaid is why an order expires.
const notPaid = "not paid in time"

// askAgain is how long a payment that is pending is left alone.
const askAgain = 200 * time.Millisecond

// shop has what the handlers need.
type shop struct {
	host   saga.Host
	ledger *Ledger
	bank   bank
}

func (s *shop) bind(r *router.Router) {
	s.host = r
	saga.Handle(r, Place, s.place)
	saga.Handle(r, Pack, s.pack)
	saga.Handle(r, Bill, s.bill, saga.WithPolicy(step.Policy{Initial: 50 * time.Millisecond, Attempts: 5}))
	saga.Handle(r, Ship, s.ship)
	saga.Handle(r, Expire, s.expire)
	saga.Handle(r, Unpack, s.unpack)
	saga.Handle(r, Refund, s.refund)
	saga.Handle(r, Apologize, s.apologize)
}

// place forks. What undoes the work is registered before the work begins: a
// process that dies between an effect outside and the commit of its step
// leaves an effect, and no trace of it in the run. Undos run in reverse order.
func (s *shop) place(_ context.Context, o Order) (saga.Step, error) {
	return saga.Do(
		saga.Undo(Apologize, o), saga.Undo(Unpack, o), saga.Undo(Refund, o),
		saga.Send(Pack, o), saga.Send(Bill, o),
		saga.Join(saga.All(Packed, Paid), Ship, o).Within(o.Deadline, Expire),
	), nil
}

func (s *shop) pack(ctx context.Context, o Order) (saga.Step, error) {
	if err := s.record(ctx, o, "packed"); err != nil {
		return nil, err
	}
	return saga.Emit(Packed, "a box"), nil
}

func (s *shop) bill(ctx context.Context, o Order) (saga.Step, error) {
	if s.bank.busy(o.ID, saga.Attempt(ctx)) {
		return nil, errors.New("the bank is busy") // tried again by the task's policy
	}
	switch s.bank.ask(o.ID) {
	case declined:
		return saga.Fail("card declined"), nil // for good: the undos run
	case pending:
		return saga.Send(Bill, o).After(askAgain), nil
	}
	if err := s.record(ctx, o, "charged"); err != nil {
		return nil, err
	}
	return saga.Emit(Paid, Receipt{o.ID, saga.MessageID(ctx)}), nil
}

func (s *shop) ship(ctx context.Context, j saga.Joined[Order]) (saga.Step, error) {
	receipt, _, _, err := Paid.From(ctx, j.Events)
	if err != nil {
		return nil, err
	}
	if err := s.record(ctx, j.Data, shipped); err != nil {
		return nil, err
	}
	return saga.Finish(receipt), nil
}

func (s *shop) expire(context.Context, saga.Joined[Order]) (saga.Step, error) {
	return saga.Fail(notPaid), nil
}

func (s *shop) unpack(ctx context.Context, o Order) (saga.Step, error) {
	return nil, s.revert(ctx, o, "packed", "unpacked")
}

func (s *shop) refund(ctx context.Context, o Order) (saga.Step, error) {
	return nil, s.revert(ctx, o, "charged", "refunded")
}

// apologize tells the customer how the order ended.
func (s *shop) apologize(ctx context.Context, o Order) (saga.Step, error) {
	run, err := saga.Find(ctx, s.host, saga.RunID(ctx))
	if err != nil {
		return nil, err
	}
	end, err := how(ctx, run)
	if err != nil {
		return nil, err
	}
	return nil, s.record(ctx, o, end)
}

// record does something outside: here, it writes a line. The message's id
// keeps a handler that runs twice for its message from doing it twice.
func (s *shop) record(ctx context.Context, o Order, what string) error {
	return s.ledger.Add(Entry{Order: o.ID, What: what, Message: saga.MessageID(ctx)})
}

func (s *shop) revert(ctx context.Context, o Order, done, undone string) error {
	was, err := s.ledger.Has(o.ID, done)
	if err != nil || !was {
		return err
	}
	return s.record(ctx, o, undone)
}
