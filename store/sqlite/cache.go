package sqlite

import (
	"database/sql/driver"

	"github.com/millrace-go/millrace/store"
)

// cache keeps the open runs that the writer has written last. A run that goes
// on is read again by nearly every commit; as long as no other connection has
// changed the file, what the writer wrote is what it would read. It is guarded
// by the writer's line, and empty for transactions of callers.
type cache struct {
	runs    map[int64]*store.Run
	size    int
	session *session // that wrote them
	version int64    // PRAGMA data_version of session
}

// cacheBytes is how much runs in the cache may take in memory, about.
const cacheBytes = 32 << 20

// refresh drops everything if another connection may have changed the file,
// and tells so. It must be called at the beginning of a transaction.
func (c *cache) refresh(s *session) (changed bool, err error) {
	var version int64
	err = s.query(sqlDataVersion, func(row []driver.Value) error {
		version = integer(row[0])
		return nil
	})
	if changed = err != nil || s != c.session || version != c.version; changed {
		*c = cache{session: s, version: version}
	}
	return changed, err
}

// clear drops everything.
func (c *cache) clear() { c.runs, c.size = nil, 0 }

// keep takes up runs that were committed; closed ones are seldom read again.
// There is no finding out which were used least: when it is full, it starts
// anew.
func (c *cache) keep(runs []*store.Run) {
	for _, r := range runs {
		c.drop(r.Key)
		if r.Status.Closed() {
			continue
		}
		if c.size > cacheBytes {
			c.clear()
		}
		if c.runs == nil {
			c.runs = map[int64]*store.Run{}
		}
		c.runs[r.Key] = r
		c.size += weightOf(r)
	}
}

func (c *cache) drop(key int64) {
	if old := c.runs[key]; old != nil {
		c.size -= weightOf(old)
		delete(c.runs, key)
	}
}

func weightOf(r *store.Run) int {
	return 512 + len(r.ID) + len(r.Name) + len(r.State) + len(r.Result) + len(r.Error) + len(r.Tail)
}
