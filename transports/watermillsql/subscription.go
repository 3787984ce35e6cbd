package watermillsql

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/lib/pq"

	"github.com/millrace-go/millrace/transports/inflight"
	"github.com/millrace-go/millrace/transports/link"
)

// subscription receives from one table, under a name of its own.
type subscription struct {
	t      *Transport
	db     *sql.DB
	log    *slog.Logger
	topic  topic
	holder string

	signal  chan struct{} // holds a token when there may be messages
	trouble *link.Link
	flights *inflight.Flights[key]
}

// patience is how long a statement may take. It is not cut short when a
// subscription ends: it may have taken messages.
const patience = 20 * time.Second

// run receives until ctx ends, and returns when nothing is in flight any more.
func (x *subscription) run(ctx context.Context) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { x.answer(life) })
	background.Go(func() { x.tend(life) })

	x.receive(ctx)
	x.t.wake.remove(x.topic.messages, x.signal)
	x.flights.Close()
	x.flights.Wait()
	end()
	background.Wait()
	x.leave()
	x.trouble.Leave(x)
}

// receive takes messages until ctx ends.
func (x *subscription) receive(ctx context.Context) {
	var pause link.Pauses
	rest := rest{x: x}
	defer rest.end()
	for {
		room := x.flights.Room(ctx)
		if room == 0 {
			return
		}
		rows, err := x.claim(room)
		if err != nil {
			x.stumble(ctx, err)
			pause.Wait(ctx)
			continue
		}
		pause.Reset()
		x.trouble.Works(x)
		for _, r := range rows {
			x.take(ctx, r)
		}
		if len(rows) == 0 {
			rest.wait(ctx)
		} else {
			rest.end()
		}
	}
}

// take hands a message on. One that is in flight already was claimed anew,
// since its lease had ended: it goes on.
func (x *subscription) take(ctx context.Context, r row) {
	if x.flights.Begin(r.key) {
		x.flights.Take(ctx, r.key, func() *message.Message { return incoming(x.topic, r) })
	}
}

// claim takes up to so many messages that nobody works on.
func (x *subscription) claim(limit int) ([]row, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := x.db.QueryContext(ctx, of(x.topic, sqlClaim), x.topic.messages, x.holder, limit, x.t.cfg.Lease.Milliseconds())
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var rows []row
	for found.Next() {
		r, err := scan(found)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// stumble deals with a failed claim: a table that is gone is made again, other
// things are told once.
func (x *subscription) stumble(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if !missing(err) {
		x.trouble.Failed(x, err)
		return
	}
	made, err := x.ready(ctx)
	if err != nil {
		x.trouble.Failed(x, err)
		return
	}
	if made {
		x.log.Warn("millrace: watermill-sql: the table was deleted; it is made again", "table", x.topic.messages)
	}
}

// ready makes what is missing. made reports that the topic's table was, and
// that nobody else has made it.
func (x *subscription) ready(ctx context.Context) (made bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = inTx(ctx, x.db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlLock); err != nil {
			return err
		}
		var there, offsets bool
		if err := tx.QueryRowContext(ctx, sqlExist, x.topic.messages, x.topic.offsets).Scan(&there, &offsets); err != nil {
			return err
		}
		made = !there
		if _, err := tx.ExecContext(ctx, sqlSchema); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlReady, pq.Array([]string{x.topic.messages}), pq.Array([]string{x.topic.ddl}))
		return err
	})
	return made && err == nil, err
}

// answer tells the database how messages ended, until life ends.
func (x *subscription) answer(life context.Context) {
	who := &x.flights
	defer x.trouble.Leave(who)
	x.flights.Answer(life, inflight.Broker[key]{
		Acknowledge: func(ctx context.Context, keys []key) error {
			return x.about(ctx, of(x.topic, sqlDone), keys, x.topic.messages)
		},
		GiveBack: func(ctx context.Context, keys []key) error {
			err := x.about(ctx, sqlBack, keys, x.topic.messages, x.holder)
			x.t.wake.wake(x.topic.messages, false)
			return err
		},
		Failed: func(err error) { x.trouble.Failed(who, err) },
		Worked: func() { x.trouble.Works(who) },
	})
}

// about carries out a statement about messages. Where a table is gone, there
// is nothing to be done about them.
func (x *subscription) about(ctx context.Context, statement string, keys []key, args ...any) error {
	transactions, offsets := make([]string, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		transactions[i], offsets[i] = k.transaction, k.offset
	}
	_, err := x.db.ExecContext(ctx, statement, append(args, pq.Array(transactions), pq.Array(offsets))...)
	if missing(err) {
		return nil
	}
	return err
}

// tend goes on working on what is in flight, and clears up after others, until
// life ends.
func (x *subscription) tend(life context.Context) {
	ticker := time.NewTicker(max(x.t.cfg.Lease/4, time.Millisecond))
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-ticker.C:
		case <-life.Done():
			return
		}
		if known := x.flights.Known(); len(known) > 0 {
			_ = x.keep(life, known) // tried again in time
		}
		if round%16 == 0 {
			_, _ = x.db.ExecContext(life, sqlSweep) // done again later, by others too
		}
	}
}

func (x *subscription) keep(ctx context.Context, keys []key) error {
	transactions, offsets := make([]string, len(keys)), make([]int64, len(keys))
	for i, k := range keys {
		transactions[i], offsets[i] = k.transaction, k.offset
	}
	_, err := x.db.ExecContext(ctx, sqlKeep, x.topic.messages, x.holder, pq.Array(transactions), pq.Array(offsets), x.t.cfg.Lease.Milliseconds())
	return err
}

// leave takes back whatever says that this subscription works on messages.
// When the database can't be reached, its leases end by themselves.
func (x *subscription) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, err := x.db.ExecContext(ctx, sqlLeave, x.holder)
	if err != nil && !missing(err) && !errors.Is(err, sql.ErrConnDone) {
		x.log.Warn("millrace: watermill-sql: a subscription could not give back what it had; others get it later", "error", err)
	}
	x.t.wake.wake(x.topic.messages, false)
}
