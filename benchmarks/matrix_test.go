package main

import (
	"context"
	"database/sql"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/internal/servers"
)

func TestPairs(t *testing.T) {
	for want, args := range map[int][]string{
		len(matrix): {"-matrix"},
		2:           {},
		3:           {"-matrix", "-store", "sqlite:?synchronous=normal"},
		6:           {"-store", "memory:,sqlite:,postgres:", "-transport", "native,memory:"},
		5:           {"-matrix", "-transport", "amqp:,redis:"},
	} {
		o, err := parse(args, io.Discard)
		require.NoError(t, err)
		require.Len(t, o.pairs, want, args)
	}
	o, err := parse([]string{"-matrix", "-store", "sqlite:?synchronous=normal", "-transport", "amqp://there/"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []pair{{"sqlite:?synchronous=normal", "amqp://there/"}}, o.pairs, "the URLs that were given")
	require.Equal(t, "plain, chain3, fork10, jobs-bulk, hop", names(o.workloads))
}

func TestServersOfURLs(t *testing.T) {
	s := serverURLs{"postgres": "postgres://u:p@there:5/db?sslmode=disable"}
	for from, want := range map[string]string{
		"postgres:":               "postgres://u:p@there:5/db?sslmode=disable",
		"postgres:?pool=3":        "postgres://u:p@there:5/db?pool=3&sslmode=disable",
		"postgres://elsewhere/db": "postgres://elsewhere/db",
		"sqlite:":                 "sqlite:",
		native:                    native,
	} {
		got, err := s.resolve(from)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestATinyMatrix(t *testing.T) {
	html := filepath.Join(t.TempDir(), "report.html")
	got := lines(t, "-matrix", "-store", "memory:,sqlite:", "-transport", "native,memory:",
		"-workload", "plain,chain3,hop", "-n", "20", "-html", html)
	require.Len(t, got, 1+3+3, "a plain Router, and two workloads on three pairs")
	for _, l := range got {
		require.EqualValues(t, 0, l["duplicates"])
		require.EqualValues(t, 0, l["losses"])
		require.Len(t, l["timeline"], slicesOfTime)
		require.Len(t, l["repeats"], 1)
	}
	through := got[3]
	require.Equal(t, "memory:", through["transport"])
	require.InDelta(t, number(through, "steps_per_s")/number(through, "plain_per_s"), through["plain_ratio"], 1e-6)
	require.FileExists(t, html)
}

func TestPlainRoutersOverBrokers(t *testing.T) {
	servers.Postgres(t)
	servers.Redis(t)
	servers.AMQP(t)
	got := lines(t, "-workload", "plain", "-n", "30", "-store", "postgres:", "-transport", "amqp:,redis:,watermill-sql:")
	require.Len(t, got, 4)
	for _, l := range got {
		require.EqualValues(t, 0, l["losses"], l)
		require.Positive(t, l["steps_per_s"])
	}
}

func TestPlacesAreDropped(t *testing.T) {
	ctx := t.Context()
	url := servers.Postgres(t)
	b := &bench{dir: t.TempDir(), store: url, pair: pair{"postgres:", "amqp:"}, transport: servers.AMQP(t)}
	p, err := b.place(ctx)
	require.NoError(t, err)
	db, err := sql.Open("postgres", p.store)
	require.NoError(t, err)
	require.NoError(t, db.PingContext(ctx))
	require.NoError(t, p.drop())
	require.Error(t, db.PingContext(ctx), "the database is gone")
	require.NoError(t, db.Close())
	require.NoError(t, p.drop(), "once more")

	b = &bench{store: servers.Redis(t), pair: pair{"redis:", native}}
	p, err = b.place(ctx)
	require.NoError(t, err)
	require.Contains(t, p.store, "prefix="+p.service)
	o, err := redis.ParseURL(servers.Redis(t))
	require.NoError(t, err)
	c := redis.NewClient(o)
	defer c.Close()
	mine, others := "{"+p.service+":0}:runs", "others-"+p.service[6:]
	require.NoError(t, c.MSet(ctx, mine, 1, others, 1).Err())
	defer c.Del(context.Background(), others)
	require.NoError(t, p.drop())
	require.EqualValues(t, 1, c.Exists(ctx, mine, others).Val())
}

func TestTimeline(t *testing.T) {
	var all []sample
	begin := time.Now()
	for i := range 1001 {
		all = append(all, sample{begin.Add(time.Duration(i) * time.Millisecond), time.Duration(i) * time.Microsecond})
	}
	var l line
	l.timeline(all)
	require.Len(t, l.Timeline, slicesOfTime)
	require.InDelta(t, 0.5, l.P50, 0.01)
	require.InDelta(t, 0.05, l.Timeline[0].P50, 0.01)
	require.InDelta(t, 0.95, l.Timeline[9].P50, 0.01)
	require.InDelta(t, 1000, l.Timeline[4].EndsPerS, 20)
	require.InDelta(t, 1, l.Timeline[9].At, 0.001)
	l.timeline(all[:1])
	require.Empty(t, l.Timeline)
}
