package faults

import (
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
	"github.com/millrace-go/millrace/router"
	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/transports"
)

// aways are servers that are not there, by what a client sees of them.
var aways = map[string]func(t *testing.T, addr string){
	"refuses":   func(*testing.T, string) {},
	"is silent": func(t *testing.T, addr string) { listen(t, addr, func(net.Conn) {}) }, // and takes connections
	"hangs up":  func(t *testing.T, addr string) { listen(t, addr, hangUp) },
}

func hangUp(c net.Conn) { c.Close() }

// listen gives connections to f, and counts them, until end, or the test's end.
func listen(t testing.TB, addr string, f func(net.Conn)) (connected func() int, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	var n atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			defer c.Close()
			f(c)
		}
	}()
	end = func() { l.Close(); <-done }
	t.Cleanup(end)
	return func() int { return int(n.Load()) }, end
}

// single is a pair with one server, and which of its URLs that is.
type single struct {
	pair
	broker bool
}

func (s single) what() string {
	if s.broker {
		return "broker"
	}
	return "store"
}

var singles = []single{
	{pair{"postgres", ""}, false}, {pair{"redis", ""}, false},
	{pair{"sqlite", "amqp"}, true}, {pair{"sqlite", "redis"}, true},
}

// A store or a broker that is down at start is told in one line: which, where
// and why, within 5 s, and without the password.
//
// L1
//
//semantics:stores postgres redis
func TestDownAtStart(t *testing.T) {
	pl := shared(t)
	for _, c := range singles {
		for how, away := range aways {
			t.Run(c.String()+" "+how, func(t *testing.T) {
				t.Parallel()
				s := pl.site(t, c.pair)
				at := s.url(c.broker)
				at.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(servers.Port(t)))
				if at.User != nil {
					at.User = url.UserPassword("somebody", "secret-word")
				}
				away(t, at.Host)
				began := time.Now()
				_, err := router.New(t.Context(), router.Config{Store: s.store.String(), Transport: s.brokerURL()})
				took := time.Since(began)
				require.Error(t, err)
				t.Logf("%v: %v", took.Round(time.Millisecond), err)
				require.True(t, errors.Is(err, store.ErrUnavailable) || errors.Is(err, transports.ErrUnavailable), "%v", err)
				require.Contains(t, err.Error(), at.Host)
				require.NotContains(t, err.Error(), "secret-word")
				require.NotContains(t, err.Error(), "\n")
				require.Less(t, took, 6*time.Second) // 5 s, and a machine that is busy
			})
		}
	}
}

func (s *site) url(ofBroker bool) *url.URL {
	if ofBroker {
		return s.broker
	}
	return s.store
}

// A program that may wait for what is down starts when it is there.
//
// L1
//
//semantics:stores postgres redis
func TestWaitAtStart(t *testing.T) {
	pl := shared(t)
	for _, c := range singles {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			s := pl.site(t, c.pair)
			at := s.url(c.broker)
			l := linkTo(t, at)
			l.cut()
			tries, end := listen(t, at.Host, hangUp)
			opened := make(chan error, 1)
			go func() {
				r, err := router.New(t.Context(), router.Config{Store: s.store.String(), Transport: s.brokerURL(), Wait: time.Minute})
				if err == nil {
					err = r.Close()
				}
				opened <- err
			}()
			require.Eventually(t, func() bool { return tries() >= 2 }, patience, 5*time.Millisecond)
			select {
			case err := <-opened:
				t.Fatalf("it did not wait: %v", err)
			default:
			}
			end()
			l.mend()
			require.NoError(t, <-opened)
		})
	}
}

// A store or a broker that goes down later makes work pause: with one warning,
// one line when it is back, no busy loop, and no exit.
//
// R5, M9
//
//semantics:stores postgres redis
func TestDownLater(t *testing.T) {
	pl := shared(t)
	for _, c := range singles {
		t.Run(c.String(), func(t *testing.T) {
			s := pl.site(t, c.pair)
			at := s.url(c.broker)
			network := linkTo(t, at)
			l := s.open(t, 1, nil)
			old := slog.Default()
			slog.SetDefault(l.said.logger()) // brokers have no other
			t.Cleanup(func() { slog.SetDefault(old) })
			l.run().feed()
			l.progress(4)
			before := l.said.total(slog.LevelInfo)

			network.cut()
			const down = 4 * time.Second
			tries, end := listen(t, at.Host, hangUp)
			busy := processorTime(t)
			<-time.After(down)
			busy = processorTime(t) - busy
			end()
			t.Logf("%d tries, %v of processor time", tries(), busy)
			network.mend()

			l.progress(4)
			back := "millrace: the " + c.what() + " is back"
			require.Eventually(t, func() bool { return len(grep(l.said.since(before, slog.LevelWarn), back)) > 0 }, patience, 5*time.Millisecond)
			l.finish()
			said, all := l.said.since(before, slog.LevelWarn), l.said.since(before, slog.LevelInfo)
			t.Logf("said: %q", all)
			require.Len(t, said, 2, "nothing else is said")
			require.Len(t, grep(said, "does not answer"), 1, "one warning")
			require.Len(t, grep(said, back), 1, "one line when it is back")
			// The transport, too, says that it was cut off. The logger that it was
			// opened with writes to this one.
			require.LessOrEqual(t, len(grep(all, "WARN ")), 1)
			require.Less(t, tries(), 100*int(down.Seconds()), "attempts to connect") // by some dozens of goroutines
			if !c.broker {                                                           // else work goes on
				require.Less(t, busy, down/2, "a busy loop")
			}
		})
	}
}

// processorTime is what this process has used.
func processorTime(t testing.TB) time.Duration {
	t.Helper()
	var use syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &use))
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func grep(lines []string, text string) (out []string) {
	for _, line := range lines {
		if strings.Contains(line, text) {
			out = append(out, line)
		}
	}
	return out
}
