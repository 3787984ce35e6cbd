package redis_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"testing"

	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/redis"
	"github.com/millrace-go/millrace/store/storetest"
)

// place is where a test has its store: a prefix of its own on a server.
type place struct {
	url    *url.URL
	prefix string
}

var places atomic.Int64

func newPlace(t testing.TB, server string) place {
	u, err := url.Parse(server)
	require.NoError(t, err)
	p := place{url: u, prefix: fmt.Sprintf("test-%d-%d", os.Getpid(), places.Add(1))}
	t.Cleanup(func() { p.clear(t) })
	return p
}

// client returns a plain client of the server.
func (p place) client(t testing.TB) *client.Client {
	o, err := client.ParseURL(p.url.String())
	require.NoError(t, err)
	c := client.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (p place) key(name string) string { return "{" + p.prefix + ":0}:" + name }

// clear deletes all keys of the place.
func (p place) clear(t testing.TB) {
	o, err := client.ParseURL(p.url.String())
	require.NoError(t, err)
	c := client.NewClient(o)
	defer c.Close()
	ctx := t.Context()
	if ctx.Err() != nil {
		ctx = background
	}
	keys := c.Scan(ctx, 0, p.key("*"), 1000).Iterator()
	for keys.Next(ctx) {
		_ = c.Unlink(ctx, keys.Val())
	}
}

func (p place) config(o store.Options) redis.Config {
	password, _ := p.url.User.Password()
	return redis.Config{
		Username: p.url.User.Username(), Password: password, Prefix: p.prefix,
		Log: slog.New(slog.DiscardHandler), Options: o,
	}
}

func (p place) open(t testing.TB, o store.Options) *redis.Store {
	s, err := redis.Open(t.Context(), p.url.Host, p.config(o))
	require.NoError(t, err)
	return s
}

// factory makes stores on a server.
func factory(server func(testing.TB) string) storetest.Factory {
	var where = map[store.Store]place{}
	open := func(t testing.TB, p place, o store.Options) store.Store {
		s := p.open(t, o)
		where[s] = p
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	damage := func(t testing.TB, s store.Store, hash string, number int64) {
		p, num := where[s], store.Num(number)
		c := p.client(t)
		v, err := c.HGet(t.Context(), p.key(hash+num[:11]), num).Result()
		require.NoError(t, err)
		require.NoError(t, c.HSet(t.Context(), p.key(hash+num[:11]), num, "damaged!"+v[8:len(v)-1]).Err())
		require.NoError(t, c.Del(t.Context(), p.key("by")).Err()) // or the store that wrote it takes it to be so still
	}
	return storetest.Factory{
		Open: func(t testing.TB, o store.Options) store.Store { return open(t, newPlace(t, server(t)), o) },
		Share: func(t testing.TB, s store.Store, o store.Options) store.Store {
			return open(t, where[s], o)
		},
		Reopen: func(t testing.TB, s store.Store, o store.Options) store.Store {
			require.NoError(t, s.Close())
			return open(t, where[s], o)
		},
		DamageMessage: func(t testing.TB, s store.Store, seq int64) { damage(t, s, "m:", seq) },
		DamageRun:     func(t testing.TB, s store.Store, key int64) { damage(t, s, "r:", key) },
	}
}

func TestStore(t *testing.T) { storetest.Run(t, factory(shared)) }
