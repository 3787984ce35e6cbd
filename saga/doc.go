// Package saga is what an author of durable workflows writes against.
//
// A [Task] is a typed address. A handler, bound to it by [Handle], does one
// piece of work and returns a [Step]: what is to happen next. All of a step
// happens, or none of it, together with the end of the message that it was
// for: send tasks ([Send], [Fork]), emit events ([Emit]), join branches
// ([Join]), register what undoes the work ([Undo]), end the run ([Finish],
// [Fail]). [Do] combines steps, and nil is the step that does nothing more.
//
//	var Charge = saga.NewTask[Order]("checkout/charge")
//
//	saga.Handle(r, Charge, func(ctx context.Context, o Order) (saga.Step, error) {
//		receipt, err := charge(ctx, o, saga.MessageID(ctx)) // an idempotency key
//		if err != nil {
//			return nil, err // tried again by the task's policy
//		}
//		return saga.Emit(Paid, receipt), nil
//	})
//
//	err := r.Run(ctx)                                                // in a service
//	run, err := saga.Start(ctx, r, Charge, order, saga.ID(order.ID)) // wherever an order comes in
package saga
