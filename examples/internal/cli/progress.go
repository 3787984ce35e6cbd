package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
)

// Progress shows what line returns until stop is called, which shows it once
// more: on a terminal in place, elsewhere once a second as a line of its own.
func Progress(w io.Writer, line func() string) (stop func()) {
	every, format, last := time.Second, "%s\n", "%s\n"
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		every, format, last = 100*time.Millisecond, "\r\x1b[K%s", "\r\x1b[K%s\n"
	}
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(w, format, line())
			case <-done:
				fmt.Fprintf(w, last, line())
				return
			}
		}
	})
	return func() {
		close(done)
		shown.Wait()
	}
}
