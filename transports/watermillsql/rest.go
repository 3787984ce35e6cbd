package watermillsql

import (
	"context"
	"time"
)

// rest is how a subscription without messages waits. For some milliseconds it
// looks again; then it says that it wants to be notified, and looks again,
// since somebody may have published who did not know that yet, and finally it
// looks now and then. It belongs to one goroutine.
type rest struct {
	x     *subscription
	looks int       // without a message
	said  time.Time // when it said that it sleeps; zero: it is not said
}

// eager is how long a subscription waits before it looks again, at first.
var eager = []time.Duration{2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}

// afterwards is the same once it has said that it sleeps.
var afterwards = []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond}

// resay is how often it is said again.
const resay = 20 * time.Second

func (r *rest) wait(ctx context.Context) {
	pause := r.next()
	r.looks++
	if pause == 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.x.signal:
	case <-ctx.Done():
	}
}

func (r *rest) next() time.Duration {
	if r.looks < len(eager) {
		return eager[r.looks]
	}
	if !r.x.t.wake.hearing() {
		return min(20*time.Millisecond<<min(r.looks-len(eager), 8), r.x.t.cfg.Poll)
	}
	if time.Since(r.said) > resay {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := r.x.db.ExecContext(ctx, sqlSleep, r.x.holder, r.x.topic.messages); err != nil {
			return r.x.t.cfg.Poll // the next claim says what is wrong
		}
		r.said, r.looks = time.Now(), len(eager)
	}
	if n := r.looks - len(eager); n < len(afterwards) {
		return afterwards[n]
	}
	return r.x.t.cfg.Poll
}

// end says that there were messages.
func (r *rest) end() {
	r.looks = 0
	if r.said.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = r.x.db.ExecContext(ctx, sqlAwake, r.x.holder) // without it, it is notified in vain for a minute
	r.said = time.Time{}
}
