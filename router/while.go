package router

import "context"

// RunWhile runs the handlers for as long as f takes. It is for programs that
// start runs and wait for their end. f is called once the handlers run; its
// context ends with ctx, and when they stop. RunWhile returns once both have
// ended: with the error that kept [Router.Run] from running, or else with f's.
func (r *Router) RunWhile(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() {
		defer stop()
		ran <- r.Run(ctx)
	}()
	var err error
	select {
	case <-r.Running():
		err = f(ctx)
	case <-ctx.Done():
		err = ctx.Err()
	}
	stop()
	if runErr := <-ran; runErr != nil {
		return runErr
	}
	return err
}
