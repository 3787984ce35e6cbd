package engine

// signal is raised by anyone and awaited by one loop; raising it twice before
// it is seen is raising it once, and no raise is lost.
type signal struct{ ch chan struct{} }

func newSignal() *signal { return &signal{make(chan struct{}, 1)} }

func (s *signal) raise() {
	select {
	case s.ch <- struct{}{}:
	default:
	}
}

func (s *signal) raised() <-chan struct{} { return s.ch }
