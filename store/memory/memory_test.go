package memory_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/memory"
	"github.com/millrace-go/millrace/store/storetest"
)

// databases gives each test a database that it can open again.
type databases struct {
	last  atomic.Int64
	names map[store.Store]string
}

func (d *databases) open(_ testing.TB, o store.Options) store.Store {
	name := fmt.Sprint("suite-", d.last.Add(1))
	s := memory.Open(name, o)
	d.names[s] = name
	return s
}

func (d *databases) share(_ testing.TB, s store.Store, o store.Options) store.Store {
	other := memory.Open(d.names[s], o)
	d.names[other] = d.names[s]
	return other
}

func (d *databases) reopen(t testing.TB, s store.Store, o store.Options) store.Store {
	other := d.share(t, s, o)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return other
}

func TestStore(t *testing.T) {
	d := databases{names: map[store.Store]string{}}
	storetest.Run(t, storetest.Factory{Open: d.open, Share: d.share, Reopen: d.reopen})
}
